package certificate

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// tlv is a DER element of the tag with that content.
func tlv(tag int, content ...string) string {
	value := asn1.RawValue{Tag: tag, IsCompound: tag == asn1.TagSequence, Bytes: []byte(strings.Join(content, ""))}
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(der)
}

func sequence(parts ...string) string { return tlv(asn1.TagSequence, parts...) }
func utf8Text(text string) string     { return tlv(asn1.TagUTF8String, text) }
func objectID(content string) string  { return tlv(asn1.TagOID, content) }

// role is a RoleOfPSP: ETSI's with that last number, and a name.
func role(number int, name string) string {
	return sequence(objectID(identifier(0, 4, 0, 19495, 1, number)), utf8Text(name))
}

// psd2Statement is a QCStatement with the roles, and an authority.
func psd2Statement(authority string, roles ...string) string {
	return sequence(objectID(psd2ID), sequence(sequence(roles...), utf8Text("Financial Conduct Authority"), utf8Text(authority)))
}

var (
	aisp       = role(3, "PSP_AI")
	pisp       = role(2, "PSP_PI")
	compliance = sequence(objectID(qcComplianceID))
	webType    = sequence(objectID(qcTypeID), sequence(objectID(qcTypeWebID)))
	sealType   = sequence(objectID(qcTypeID), sequence(objectID(identifier(0, 4, 0, 1862, 1, 6, 2))))
)

// qualified is the identity of a certificate with these qcStatements and, where it is
// not "", that organizationIdentifier.
func qualified(t *testing.T, extension, organization string) *authz.Identity {
	t.Helper()
	template := &x509.Certificate{ExtraExtensions: []pkix.Extension{{Id: qcStatementsID, Value: []byte(extension)}}}
	if organization != "" {
		template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: organizationID, Value: organization}}
	}
	got, err := read(t, forward(toPEM(pemType, issue(t, template))))
	if err != nil {
		t.Fatal(err)
	}
	return got.Identity
}

func TestPSD2IsRead(t *testing.T) {
	of := func(roles ...string) *authz.PSD2 { return &authz.PSD2{Roles: roles, Authority: "GB-FCA"} }
	tests := []struct {
		name, extension, organization string
		want                          *authz.PSD2
		qualified                     bool
	}{
		{"Q1: one role", sequence(psd2Statement("GB-FCA", aisp)), "", of("PSP_AI"), false},
		{"Q1: all roles of V1.1.2", sequence(psd2Statement("GB-FCA", role(1, "PSP_AS"), pisp, aisp, role(4, "PSP_IC"))), "",
			of("PSP_AS", "PSP_PI", "PSP_AI", "PSP_IC"), false},
		{"Q1: a role twice is one", sequence(psd2Statement("GB-FCA", aisp, aisp)), "", of("PSP_AI"), false},
		{"Q1: a role of somebody else's is passed over, whatever its name",
			sequence(psd2Statement("GB-FCA", sequence(objectID(identifier(1, 2, 3)), utf8Text("PSP_PI")), aisp)), "", of("PSP_AI"), false},
		{"Q1: unspecified is no role", sequence(psd2Statement("GB-FCA", role(0, "Unspecified"))), "", of(), false},
		{"Q1: beside statements that are not known", sequence(sequence(objectID(identifier(1, 2, 3)), tlv(asn1.TagInteger, "\x01")), psd2Statement("GB-FCA", aisp)), "", of("PSP_AI"), false},
		{"Q2: a central bank has no authority", sequence(psd2Statement("NA", role(5, "PSP_CB"))), "", &authz.PSD2{Roles: []string{"PSP_CB"}, Authority: "NA"}, false},
		{"Q3: organizationIdentifier", sequence(psd2Statement("GB-FCA", aisp)), "PSDGB-FCA-123456",
			&authz.PSD2{Roles: []string{"PSP_AI"}, Authority: "GB-FCA", ID: "PSDGB-FCA-123456"}, false},
		{"Q3: one of another form, as from V1.5.1 on, is no id", sequence(psd2Statement("GB-FCA", aisp)), "LEIXG-529900T8BM49AURSDO55", of("PSP_AI"), false},
		{"Q3: one of another authority is no id", sequence(psd2Statement("GB-FCA", aisp)), "PSDDE-BAFIN-123456", of("PSP_AI"), false},
		{"Q3: one without a number is no id", sequence(psd2Statement("GB-FCA", aisp)), "PSDGB-FCA-", of("PSP_AI"), false},
		{"Q3: one with a line break is no id", sequence(psd2Statement("GB-FCA", aisp)), "PSDGB-FCA-1\n2", of("PSP_AI"), false},
		{"Q4: a QWAC", sequence(compliance, webType, psd2Statement("GB-FCA", aisp)), "", of("PSP_AI"), true},
		{"Q4: a type that is not qualified", sequence(webType, psd2Statement("GB-FCA", aisp)), "", of("PSP_AI"), false},
		{"Q4: qualified, of no type", sequence(compliance, psd2Statement("GB-FCA", aisp)), "", of("PSP_AI"), false},
		{"Q4: a QWAC of no payment service provider", sequence(compliance, webType), "", nil, true},
		{"no statements", sequence(), "", nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := qualified(t, test.extension, test.organization)
			if diff := cmp.Diff(test.want, got.PSD2); diff != "" {
				t.Errorf("PSD2 (-want +got):\n%s", diff)
			}
			if got.Qualified != test.qualified || got.Doubt != "" {
				t.Errorf("qualified is %v, doubt %q, want %v and none", got.Qualified, got.Doubt, test.qualified)
			}
		})
	}
}

// TestPSD2ThatIsDoubted changes one thing of a good certificate, and holds that nothing
// of its statements is believed then; the certificate itself is read.
func TestPSD2ThatIsDoubted(t *testing.T) {
	good := psd2Statement("GB-FCA", aisp)
	info := func(fields ...string) string {
		return sequence(sequence(objectID(psd2ID), sequence(fields...)))
	}
	name, id := utf8Text("Financial Conduct Authority"), utf8Text("GB-FCA")
	tests := []struct{ name, extension string }{
		{"Q1: no role", sequence(psd2Statement("GB-FCA"))},
		{"Q1: an identifier and another role's name", sequence(psd2Statement("GB-FCA", role(3, "PSP_PI")))},
		{"Q1: an identifier and a name in another case", sequence(psd2Statement("GB-FCA", role(3, "psp_ai")))},
		{"Q1: a name of another type", sequence(psd2Statement("GB-FCA", sequence(objectID(identifier(0, 4, 0, 19495, 1, 3)), tlv(asn1.TagPrintableString, "PSP_AI"))))},
		{"Q1: a role without a name", sequence(psd2Statement("GB-FCA", sequence(objectID(identifier(0, 4, 0, 19495, 1, 3)))))},
		{"Q1: more than a name", sequence(psd2Statement("GB-FCA", sequence(objectID(identifier(0, 4, 0, 19495, 1, 3)), utf8Text("PSP_AI"), name)))},
		{"Q1: a role that is none", sequence(psd2Statement("GB-FCA", utf8Text("PSP_AI")))},
		{"Q1: roles that are no list", info(utf8Text("PSP_AI"), name, id)},
		{"Q1: an authority's name of another type", info(sequence(aisp), tlv(asn1.TagPrintableString, "Bank"), id)},
		{"Q1: an empty name", info(sequence(aisp), utf8Text(""), id)},
		{"Q1: a long name", info(sequence(aisp), utf8Text(strings.Repeat("é", 257)), id)},
		{"Q1: a name that is not UTF-8", info(sequence(aisp), utf8Text("\xff"), id)},
		{"Q1: no authority", info(sequence(aisp), name)},
		{"Q1: more than an authority", info(sequence(aisp), name, id, name)},
		{"Q1: no statement behind the identifier", sequence(sequence(objectID(psd2ID)))},
		{"Q1: two statements", sequence(good, psd2Statement("GB-FCA", pisp))},
		{"Q1: a length that is not DER", sequence("\x30\x81" + good[1:])},
		{"Q1: an indefinite length", "\x30\x80" + good + "\x00\x00"},
		{"Q1: more behind the statements", sequence(good) + "\x05\x00"},
		{"Q1: cut short", sequence(good[:len(good)-1])},
		{"Q1: nothing", ""},
		{"Q2: no country", sequence(psd2Statement("FCA", aisp))},
		{"Q2: lower case", sequence(psd2Statement("GB-fca", aisp))},
		{"Q2: too long", sequence(psd2Statement("GB-FINANCIAL", aisp))},
		{"Q2: too short", sequence(psd2Statement("GB-F", aisp))},
		{"Q2: a line more", sequence(psd2Statement("GB-FCA\n", aisp))},
		{"Q2: only central banks have no authority", sequence(psd2Statement("NA", aisp))},
		{"Q2: a central bank with one", sequence(psd2Statement("GB-FCA", role(5, "PSP_CB")))},
		{"Q4: for seals", sequence(compliance, sealType, good)},
		{"Q4: compliance that holds something", sequence(sequence(objectID(qcComplianceID), name), good)},
		{"Q4: types that are no list", sequence(sequence(objectID(qcTypeID), objectID(qcTypeWebID)), good)},
		{"Q4: two types", sequence(webType, sealType, good)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := qualified(t, test.extension, "PSDGB-FCA-123456")
			if got.PSD2 != nil || got.Qualified || got.Doubt == "" {
				t.Errorf("PSD2 is %+v, qualified %v, doubt %q, want a doubt alone", got.PSD2, got.Qualified, got.Doubt)
			}
		})
	}
}

func TestTwoOrganizationIdentifiersAreNone(t *testing.T) {
	names := []pkix.AttributeTypeAndValue{{Type: organizationID, Value: "PSDGB-FCA-123456"}, {Type: organizationID, Value: "PSDGB-FCA-654321"}}
	parsed := &x509.Certificate{Subject: pkix.Name{Names: names}}
	if got := providerID(parsed, "GB-FCA"); got != "" {
		t.Errorf("providerID = %q, want none", got)
	}
	parsed.Subject.Names = names[:1]
	if got := providerID(parsed, "GB-FCA"); got != "PSDGB-FCA-123456" {
		t.Errorf("providerID of one = %q", got)
	}
}

func TestSPIFFEIDs(t *testing.T) {
	tests := []struct {
		name string
		uris []string
		want string
	}{
		{"an ID", []string{"spiffe://bank.example/ns/demo"}, "spiffe://bank.example/ns/demo"},
		{"a trust domain's own", []string{"spiffe://bank.example"}, "spiffe://bank.example"},
		{"two URIs are no X.509-SVID", []string{"spiffe://bank.example/a", "https://bank.example"}, ""},
		{"none", nil, ""},
		{"another scheme", []string{"https://bank.example/a"}, ""},
		{"a slash at the end", []string{"spiffe://bank.example/a/"}, ""},
		{"a dot segment", []string{"spiffe://bank.example/a/../b"}, ""},
		{"percent-encoding", []string{"spiffe://bank.example/%61"}, ""},
		{"a port", []string{"spiffe://bank.example:443/a"}, ""},
		{"a query", []string{"spiffe://bank.example/a?b"}, ""},
		{"no trust domain", []string{"spiffe:///a"}, ""},
		{"too long", []string{"spiffe://bank.example/" + strings.Repeat("a", maxSPIFFE)}, ""},
	}
	for _, test := range tests {
		if got := spiffeID(test.uris); got != test.want {
			t.Errorf("%s: spiffeID(%q) = %q, want %q", test.name, test.uris, got, test.want)
		}
	}
}

// What is believed is what encoding/asn1 would have written for the same values, so no
// two texts mean the same roles.
func FuzzReadStatements(f *testing.F) {
	for _, seed := range []string{
		sequence(psd2Statement("GB-FCA", aisp, pisp)), sequence(compliance, webType, psd2Statement("NA", role(5, "PSP_CB"))),
		sequence(psd2Statement("GB-FCA", role(3, "PSP_PI"))), "\x30\x80", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		found, err := readStatements(der)
		if err != nil || found.psd2 == nil {
			return
		}
		type info struct {
			Roles []struct {
				ID   asn1.RawValue
				Name string `asn1:"utf8"`
			}
			Name, Authority string `asn1:"utf8"`
		}
		var list []asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &list); err != nil || len(rest) > 0 {
			t.Fatalf("readStatements takes what asn1 does not: %v", err)
		}
		for _, raw := range list {
			var statement struct{ ID, Info asn1.RawValue }
			if _, err := asn1.Unmarshal(raw.FullBytes, &statement); err != nil || string(statement.ID.Bytes) != psd2ID {
				continue
			}
			var reference info
			if _, err := asn1.Unmarshal(statement.Info.FullBytes, &reference); err != nil {
				t.Fatalf("%+v of what asn1 does not take: %v", found.psd2, err)
			}
			written, err := asn1.Marshal(reference)
			if err != nil || string(written) != string(statement.Info.FullBytes) {
				t.Fatalf("%+v of what is not written as DER: %x, want %x", found.psd2, statement.Info.FullBytes, written)
			}
			if reference.Authority != found.psd2.Authority || len(found.psd2.Roles) > len(reference.Roles) {
				t.Fatalf("%+v, want that of %+v", found.psd2, reference)
			}
			return
		}
		t.Fatalf("%+v of no statement", found.psd2)
	})
}
