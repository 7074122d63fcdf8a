package audit

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/countersign-io/countersign/authz"
	decisionv1 "github.com/countersign-io/countersign/proto/countersign/decision/v1"
)

// maxDetail is how much of a detail is kept, in bytes: it is for a reader.
const maxDetail = 1024

// describe makes the record of a decision. It is a pure function, and the only
// place where it is chosen what is kept of a request: whatever names a person goes
// through the key.
func describe(record authz.Record, key *key) *decisionv1.Decision {
	d, f := record.Decision, record.Facts
	names := namesOf(d, f, key)
	out := &decisionv1.Decision{
		Id:             d.ID.String(),
		Time:           timestamppb.New(f.Time),
		Allowed:        proto.Bool(d.Allowed),
		Status:         uint32(d.Status()),
		Reason:         d.Reason.String(),
		PolicyReason:   d.Verdict.Reason,
		Refusals:       names.maskCodes(d.Verdict.Refusals),
		Waived:         names.maskCodes(d.Verdict.Waived),
		BreakGlass:     d.Verdict.BreakGlass,
		Detail:         cut(names.mask(d.Detail), maxDetail),
		Revision:       d.Revision,
		Api:            string(api(f)),
		Method:         method(f.Request.Method),
		Caller:         caller(record, key),
		Objects:        objects(f, key),
		Region:         region(f.Region),
		TraceId:        traceID(f.Request),
		ElapsedUs:      microseconds(d.Elapsed),
		PseudonymKeyId: key.id,
		LimitsReached:  names.maskCodes(d.Spending.Reached()),
		InteractionId:  d.InteractionID,
		Unchecked:      authz.Codes(f.Unchecked()),
		Observed:       names.maskCodes(f.Observed()),
		Bundles:        bundles(d.Bundles),
	}
	if f.Lookups != nil {
		out.Asked, out.AnswersOmitted = f.Lookups.Builtins, f.Lookups.Answers == nil
	}
	if d.Operation != nil {
		out.Operation, out.Path = d.Operation.ID, d.Operation.Path
	}
	if f.Token != nil {
		out.Binding = texts(f.Token.Bindings)
	}
	if f.Certificate != nil {
		out.CertificateThumbprint = base64.RawURLEncoding.EncodeToString(f.Certificate.Thumbprint[:])
	}
	if identity := f.Identity(); identity != nil && identity.PSD2 != nil {
		out.Psd2 = &decisionv1.Psd2{Roles: identity.PSD2.Roles, Authority: identity.PSD2.Authority, Id: identity.PSD2.ID}
	}
	if f.Consent != nil {
		out.Consent = &decisionv1.Consent{IdPseudonym: key.consent(d.Caller.Issuer, f.Consent.ID), Status: f.Consent.Status}
	}
	return out
}

// abandoned takes back a record that became durable too late: its caller was refused.
func abandoned(record *decisionv1.Decision) *decisionv1.Decision {
	return &decisionv1.Decision{
		Id:        record.Id,
		Time:      record.Time,
		Allowed:   proto.Bool(false),
		Status:    uint32(authz.NotRecorded.Status()),
		Reason:    authz.NotRecorded.String(),
		Revision:  record.Revision,
		Api:       record.Api,
		Operation: record.Operation,
		Method:    record.Method,
		Path:      record.Path,
		TraceId:   record.TraceId,
		Abandoned: true,
		// The client was told it with the refusal, too.
		InteractionId: record.InteractionId,
	}
}

// api is the contract that the request was held against, or the one that the
// operator named for it, where it was refused before that was looked up.
func api(f *authz.Facts) authz.API {
	if f.Match.API != "" {
		return f.Match.API
	}
	return f.Request.API
}

// method keeps the methods that HTTP defines (RFC 9110 §9, RFC 5789); any other is
// whatever the client wrote, and OpenTelemetry's word stands for it.
func method(name string) string {
	switch name {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return name
	}
	return "_OTHER"
}

// caller is nil where nobody has authenticated.
func caller(record authz.Record, key *key) *decisionv1.Caller {
	c := record.Decision.Caller
	if c.Kind == authz.Anonymous && record.Facts.Token == nil {
		return nil
	}
	people := peopleOf(c, key)
	return &decisionv1.Caller{
		Kind:             c.Kind.String(),
		Issuer:           c.Issuer,
		SubjectPseudonym: key.subject(c.Issuer, c.Subject),
		Client:           string(c.Client),
		Tenant:           string(c.Tenant),
		ActorPseudonym:   key.subject(c.Issuer, c.Actor),
		// A scope can carry an identifier, such as Berlin Group's "AIS:<consent id>".
		Roles:            people.maskAll(c.Roles),
		Scopes:           people.maskAll(c.Scopes),
		ConsentPseudonym: key.consent(c.Issuer, c.Consent),
	}
}

func objects(f *authz.Facts, key *key) []*decisionv1.Object {
	var out []*decisionv1.Object
	for _, named := range f.Inspection.Objects {
		object := &decisionv1.Object{Type: string(named.Type), Where: named.Where}
		if named.ID != authz.Unread {
			object.IdPseudonym = key.object(named.Object)
		}
		if f.Owned != nil {
			ownership, owned := f.Owned[named.Object]
			object.Owned, object.Relation, object.Region = &owned, ownership.Relation, ownership.Region
		}
		out = append(out, object)
	}
	return out
}

func region(r authz.Region) *decisionv1.Region {
	if r == (authz.Region{}) {
		return nil
	}
	return &decisionv1.Region{Service: r.Service, Caller: r.Caller}
}

// traceID is "" for what is no trace id: it arrives as text.
func traceID(request *authz.Request) string {
	id := request.TraceID()
	if _, err := hex.DecodeString(id); err != nil {
		return ""
	}
	return id
}

func microseconds(elapsed time.Duration) uint32 {
	return uint32(min(max(elapsed.Microseconds(), 0), math.MaxUint32))
}

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = string(value)
	}
	return out
}

func bundles(of []authz.Bundle) []*decisionv1.Bundle {
	var out []*decisionv1.Bundle
	for _, b := range of {
		out = append(out, &decisionv1.Bundle{Name: b.Name, Revision: b.Revision, Signer: b.Signer})
	}
	return out
}

// cut shortens text to at most limit bytes and a mark, at the end of a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
