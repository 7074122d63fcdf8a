package standards

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"time"
)

// forwarded is a client's certificate as Envoy forwards it.
type forwarded struct {
	forwarded string
	// thumbprint is as a token is bound to it (RFC 8705 §3.1), and hash as XFCC has it.
	thumbprint, hash string
}

// role is RoleOfPSP (ETSI TS 119 495 Annex A).
type role struct {
	ID   asn1.ObjectIdentifier
	Name string `asn1:"utf8"`
}

// ia5Role is a role whose name is of another type of text.
type ia5Role struct {
	ID   asn1.ObjectIdentifier
	Name string `asn1:"ia5"`
}

func roleID(number int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{0, 4, 0, 19495, 1, number}
}

var (
	accountServicing   = role{roleID(1), "PSP_AS"}
	paymentInitiation  = role{roleID(2), "PSP_PI"}
	accountInformation = role{roleID(3), "PSP_AI"}
	cardIssuing        = role{roleID(4), "PSP_IC"}
)

// statement is one of qcStatements (RFC 3739 §3.2.6).
type statement struct {
	ID   asn1.ObjectIdentifier
	Info asn1.RawValue `asn1:"optional"`
}

func der(value any) asn1.RawValue { return asn1.RawValue{FullBytes: must(asn1.Marshal(value))} }

// psd2 is the statement of what an authority lets a provider do.
func psd2(authority string, roles any) statement {
	return statement{asn1.ObjectIdentifier{0, 4, 0, 19495, 2}, der(struct {
		Roles     asn1.RawValue
		Name, NCA string `asn1:"utf8"`
	}{der(roles), "Financial Conduct Authority", authority})}
}

// compliance and types are ETSI EN 319 412-5's statements.
var compliance = statement{ID: asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}}

func types(kind int) statement {
	return statement{asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}, der([]asn1.ObjectIdentifier{{0, 4, 0, 1862, 1, 6, kind}})}
}

// Types of qualified certificates.
const (
	forSeals    = 2
	forWebsites = 3
)

// registered is a subject's organizationIdentifier (X.520).
func registered(id string) pkix.Name {
	return pkix.Name{CommonName: "acme", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: id}}}
}

// issueAll makes the certificates of all clients, by name. They are self-signed: whom to
// trust is for Envoy.
func issueAll(now time.Time) map[string]forwarded {
	acme := pkix.Name{CommonName: "acme"}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	issue := func(subject pkix.Name, key *ecdsa.PrivateKey, statements ...statement) forwarded {
		template := &x509.Certificate{SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<60))), Subject: subject,
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
		if len(statements) > 0 {
			value := must(asn1.Marshal(statements))
			template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Value: value}}
		}
		return forward(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
	}
	// A certificate whose base64 has a plus, which is easily made a space.
	withPlus := func() forwarded {
		for {
			if made := issue(acme, key); strings.Contains(made.forwarded, "%2B") {
				return made
			}
		}
	}
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	all := []role{accountServicing, paymentInitiation, accountInformation, cardIssuing}
	return map[string]forwarded{
		"acme": withPlus(), "renewed": issue(acme, key), "rekeyed": issue(acme, other),

		"provider":        issue(registered("PSDGB-FCA-123456"), key, psd2("GB-FCA", all)),
		"AS":              issue(acme, key, psd2("GB-FCA", []role{accountServicing})),
		"PI":              issue(acme, key, psd2("GB-FCA", []role{paymentInitiation})),
		"AI":              issue(acme, key, psd2("GB-FCA", []role{accountInformation})),
		"IC":              issue(acme, key, psd2("GB-FCA", []role{cardIssuing})),
		"no roles":        issue(acme, key, psd2("GB-FCA", []role{})),
		"misnamed":        issue(acme, key, psd2("GB-FCA", []role{{roleID(3), "PSP_PI"}})),
		"other text":      issue(acme, key, psd2("GB-FCA", []ia5Role{{roleID(3), "PSP_AI"}})),
		"foreign role":    issue(acme, key, psd2("GB-FCA", []role{{asn1.ObjectIdentifier{1, 2, 3}, "PSP_AI"}})),
		"twice":           issue(acme, key, psd2("GB-FCA", all), psd2("GB-FCA", all)),
		"no authority":    issue(acme, key, psd2("FCA", all)),
		"small authority": issue(acme, key, psd2("gb-fca", all)),
		"long authority":  issue(acme, key, psd2("GB-ABCDEFGHI", all)),
		"of another":      issue(registered("PSDDE-BAFIN-123456"), key, psd2("GB-FCA", all)),
		"of no form":      issue(registered("GB-123456"), key, psd2("GB-FCA", all)),
		"website":         issue(acme, key, compliance, types(forWebsites), psd2("GB-FCA", all)),
		"seal":            issue(acme, key, compliance, types(forSeals), psd2("GB-FCA", all)),
	}
}

// escapes are all that Envoy escapes in a certificate.
var escapes = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

func forward(der []byte) forwarded {
	digest := sha256.Sum256(der)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return forwarded{forwarded: escapes.Replace(text), thumbprint: encode(digest[:]), hash: hex.EncodeToString(digest[:])}
}

// xfcc is what a proxy tells of a client's certificate.
func xfcc(certificate forwarded) string {
	return "Hash=" + certificate.hash + `;Cert="` + certificate.forwarded + `"`
}
