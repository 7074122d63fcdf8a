package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// forwardedCertificate is a certificate as Envoy forwards it, and its thumbprint as
// XFCC has it.
func forwardedCertificate(t testing.TB, name string) (forwarded, hash string) {
	t.Helper()
	der := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}})
	sum := sha256.Sum256(der)
	return forward(toPEM(pemType, der)), hex.EncodeToString(sum[:])
}

func readXFCC(t testing.TB, elements int, peer string, headers ...string) (*authz.Certificate, error) {
	t.Helper()
	request := &authz.Request{Certificate: peer}
	for _, header := range headers {
		request.Headers = append(request.Headers, authz.Header{Name: xfcc, Value: header})
	}
	return reader(t, Config{From: FromXFCC, Elements: elements}).Read(request)
}

// TestXFCC reads the header as Envoy writes it. of is whose certificate is meant, by its
// thumbprint.
func TestXFCC(t *testing.T) {
	client, ofClient := forwardedCertificate(t, "client")
	proxy, ofProxy := forwardedCertificate(t, "proxy")
	whole := "By=spiffe://bank.example/envoy;Hash=" + ofClient + `;Cert="` + client + `"`
	hashed := "Hash=" + ofProxy
	tests := []struct {
		name     string
		elements int
		peer     string
		headers  []string
		of       string
		subject  string
	}{
		{"a certificate", 0, "", []string{whole}, ofClient, "CN=client"},
		{"a thumbprint alone has no identity", 0, "", []string{"Hash=" + ofClient}, ofClient, ""},
		{"names are not taken from the header", 0, "", []string{"Hash=" + ofClient + `;Subject="CN=other";URI=spiffe://other;DNS=a;DNS=b`}, ofClient, ""},
		{"keys in another case", 0, "", []string{"by=a;BY=b;hash=" + ofClient}, ofClient, ""},
		{"a key that is not known", 0, "", []string{"Hash=" + ofClient + ";Serial=1"}, ofClient, ""},
		{"separators within a name", 0, "", []string{`Subject="CN=A\, B;Hash=0,O=\"C\"";Hash=` + ofClient}, ofClient, ""},
		{"an empty subject", 0, "", []string{`Hash=` + ofClient + `;Subject="";URI=`}, ofClient, ""},
		{"the header and Envoy's own word agree", 0, client, []string{whole}, ofClient, "CN=client"},
		{"Envoy's own word alone", 0, client, nil, ofClient, "CN=client"},
		{"neither", 0, "", nil, "", ""},
		{"the first of two", 2, "", []string{whole + "," + hashed}, ofClient, "CN=client"},
		{"the first of two, behind a proxy", 2, proxy, []string{whole + "," + hashed}, ofClient, "CN=client"},
		{"a proxy that told of no client's", 2, proxy, []string{hashed}, "", ""},
		{"a proxy that told of nothing", 2, proxy, nil, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readXFCC(t, test.elements, test.peer, test.headers...)
			if err != nil {
				t.Fatal(err)
			}
			of, subject := "", ""
			if got != nil {
				of = hex.EncodeToString(got.Thumbprint[:])
			}
			if got != nil && got.Identity != nil {
				subject = got.Identity.Subject
			}
			if of != test.of || subject != test.subject {
				t.Errorf("Read = the certificate %s of %q, want %s of %q", of, subject, test.of, test.subject)
			}
		})
	}
}

func TestXFCCThatIsRefused(t *testing.T) {
	client, ofClient := forwardedCertificate(t, "secret")
	other, ofOther := forwardedCertificate(t, "other")
	cert := `;Cert="` + client + `"`
	tests := []struct {
		name     string
		elements int
		peer     string
		headers  []string
		want     error
	}{
		{"not the certificate that Envoy itself tells of", 0, other, []string{"Hash=" + ofClient + cert}, authz.CertificateConflict},
		{"of another proxy than Envoy's peer", 2, other, []string{"Hash=" + ofOther + ",Hash=" + ofClient}, authz.CertificateConflict},
		{"Envoy's own word is malformed", 0, "secret", []string{"Hash=" + ofClient + cert}, authz.CertificateMalformed},
		{"Hash is not that of Cert", 0, "", []string{"Hash=" + ofOther + cert}, authz.CertificateMalformed},
		{"two elements where one is expected", 0, "", []string{"Hash=" + ofOther + ",Hash=" + ofClient + cert}, authz.CertificateMalformed},
		{"a URI that begins another element", 0, "", []string{"Hash=" + ofClient + cert + ";URI=https://a/,Hash=" + ofOther}, authz.CertificateMalformed},
		{"a URI that is another Hash", 0, "", []string{"Hash=" + ofClient + cert + ";URI=https://a/;Hash=" + ofOther}, authz.CertificateMalformed},
		{"two fields", 2, "", []string{"Hash=" + ofClient, "Hash=" + ofClient}, authz.CertificateMalformed},
		{"Hash twice", 0, "", []string{"Hash=" + ofClient + ";Hash=" + ofClient}, authz.CertificateMalformed},
		{"Hash twice, in another case", 0, "", []string{"Hash=" + ofClient + ";HASH=" + ofClient}, authz.CertificateMalformed},
		{"Cert twice", 0, "", []string{"Hash=" + ofClient + cert + cert}, authz.CertificateMalformed},
		{"Subject twice", 0, "", []string{"Hash=" + ofClient + `;Subject="a";Subject="a"`}, authz.CertificateMalformed},
		{"a key that is not known, twice", 0, "", []string{"Hash=" + ofClient + `;x=1;X=1`}, authz.CertificateMalformed},
		{"no Hash", 0, "", []string{`By=a` + cert}, authz.CertificateMalformed},
		{"no Hash in an element that is not the client's", 2, "", []string{"Hash=" + ofClient + ",By=a"}, authz.CertificateMalformed},
		{"Hash in capitals", 0, "", []string{"Hash=" + strings.ToUpper(ofClient)}, authz.CertificateMalformed},
		{"a short Hash", 0, "", []string{"Hash=" + ofClient[2:]}, authz.CertificateMalformed},
		{"Hash of what is no hexadecimal", 0, "", []string{"Hash=" + strings.Repeat("zz", 32)}, authz.CertificateMalformed},
		{"Cert is empty", 0, "", []string{"Hash=" + ofClient + `;Cert=""`}, authz.CertificateMalformed},
		{"Cert is no certificate", 0, "", []string{"Hash=" + ofClient + `;Cert="secret"`}, authz.CertificateMalformed},
		{"an empty header", 0, "", []string{""}, authz.CertificateMalformed},
		{"a separator at the end", 0, "", []string{"Hash=" + ofClient + ";"}, authz.CertificateMalformed},
		{"an empty element", 2, "", []string{"Hash=" + ofClient + ","}, authz.CertificateMalformed},
		{"a blank", 2, "", []string{"Hash=" + ofClient + ", Hash=" + ofClient}, authz.CertificateMalformed},
		{"no key", 0, "", []string{"Hash=" + ofClient + ";=1"}, authz.CertificateMalformed},
		{"no value", 0, "", []string{"Hash=" + ofClient + ";secret"}, authz.CertificateMalformed},
		{"an equals sign outside quotation marks", 0, "", []string{"Hash=" + ofClient + ";URI=https://a?secret=1"}, authz.CertificateMalformed},
		{"a quotation mark within a value", 0, "", []string{"Hash=" + ofClient + `;URI=a"secret"`}, authz.CertificateMalformed},
		{"more behind the quotation", 0, "", []string{"Hash=" + ofClient + `;Subject="secret"a`}, authz.CertificateMalformed},
		{"an open quotation", 0, "", []string{"Hash=" + ofClient + `;Subject="secret`}, authz.CertificateMalformed},
		{"a quotation that a backslash leaves open", 0, "", []string{"Hash=" + ofClient + `;Subject="secret\"`}, authz.CertificateMalformed},
		{"two backslashes before a mark, which can be read in two ways", 0, "", []string{"Hash=" + ofClient + `;Subject="CN=a\\";URI="b"`}, authz.CertificateMalformed},
		{"over the limit of elements", mostElements, "", []string{strings.Repeat("Hash="+ofClient+",", mostElements) + "Hash=" + ofClient}, authz.CertificateMalformed},
		{"over the limit of bytes", 0, "", []string{"Hash=" + ofClient + ";URI=" + strings.Repeat("a", maxXFCC)}, authz.CertificateMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readXFCC(t, test.elements, test.peer, test.headers...)
			if got != nil || !errors.Is(err, test.want) {
				t.Fatalf("Read = %v, %v, want %v", got, err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the header: %v", err)
			}
		})
	}
}

// TestHeaderIsReadOnlyIfConfigured holds that without a word of the operator's a header
// is nobody's certificate, and no fault either: what counts is this connection's (M2).
func TestHeaderIsReadOnlyIfConfigured(t *testing.T) {
	client, ofClient := forwardedCertificate(t, "client")
	for _, header := range []string{"Hash=" + ofClient + `;Cert="` + client + `"`, "no XFCC"} {
		for _, from := range []Source{"", FromSource} {
			got, err := reader(t, Config{From: from}).Read(&authz.Request{Headers: authz.Headers{{Name: xfcc, Value: header}}})
			if got != nil || err != nil {
				t.Errorf("from %q: Read = %v, %v, want none", from, got, err)
			}
		}
	}
}

// TestBothSourcesAreRemembered holds that a certificate is parsed once, whichever way it
// comes.
func TestBothSourcesAreRemembered(t *testing.T) {
	client, ofClient := forwardedCertificate(t, "client")
	reads := reader(t, Config{From: FromXFCC})
	direct, err := reads.Read(&authz.Request{Certificate: client})
	if err != nil {
		t.Fatal(err)
	}
	header := authz.Headers{{Name: xfcc, Value: "Hash=" + ofClient + `;Cert="` + client + `"`}}
	if again, err := reads.Read(&authz.Request{Headers: header}); again != direct || err != nil {
		t.Errorf("Read = %p, %v, want the same as before, %p", again, err, direct)
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		want []string
	}{
		{"nothing said", Config{}, nil},
		{"the default said", Config{From: FromSource}, nil},
		{"XFCC", Config{From: FromXFCC, Elements: mostElements}, nil},
		{"another source", Config{From: "header"}, []string{"client_certificate"}},
		{"too many elements", Config{From: FromXFCC, Elements: mostElements + 1}, []string{"xfcc_elements"}},
		{"fewer than none", Config{From: FromXFCC, Elements: -1}, []string{"xfcc_elements"}},
		{"elements of what is not read", Config{Elements: 1}, []string{"xfcc_elements"}},
	}
	for _, test := range tests {
		var keys []string
		for _, problem := range authz.ProblemsOf(test.cfg.Check()) {
			keys = append(keys, problem.Key)
		}
		if diff := cmp.Diff(test.want, keys); diff != "" {
			t.Errorf("%s: keys (-want +got):\n%s", test.name, diff)
		}
		if _, err := New(test.cfg); (err != nil) != (test.want != nil) {
			t.Errorf("%s: New = %v", test.name, err)
		}
	}
}

// split cuts a header at its separators, in one of the ways in which a backslash can be
// read: before a mark it makes it part of the value, and, where pairs is set, before
// another backslash it is used up.
func split(header string, pairs bool) []string {
	var parts []string
	begin, quoted := 0, false
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case quoted && c == '\\' && i+1 < len(header) && (header[i+1] == '"' || pairs && header[i+1] == '\\'):
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ';'):
			parts = append(parts, header[begin:i+1])
			begin = i + 1
		}
	}
	return append(parts, header[begin:])
}

// What is accepted has one reading: whichever way a reader takes backslashes, it finds
// the same pairs, and the same Hash and Cert in each element.
func FuzzXFCC(f *testing.F) {
	hash := strings.Repeat("0a", sha256.Size)
	for _, seed := range []string{
		"Hash=" + hash, "By=a;Hash=" + hash + `;Cert="x%0A";Subject="CN=a\, \"b\"";URI=c;DNS=d`, "Hash=" + hash + ",Hash=" + hash,
		"Hash=" + hash + `;Subject="a\\";URI="b"`, `"`, ";", ",", "Hash=" + hash + `;URI=a"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		elements, err := parseXFCC(header)
		if err != nil {
			return
		}
		parts := split(header, false)
		if diff := cmp.Diff(parts, split(header, true)); diff != "" {
			t.Fatalf("accepted with two readings:\n%s", diff)
		}
		var found []element
		var e element
		for _, part := range parts {
			pair := strings.TrimRight(part, ",;")
			if strings.HasSuffix(pair, `"`) {
				pair = strings.Replace(pair[:len(pair)-1], `="`, "=", 1)
			}
			key, value, _ := strings.Cut(pair, "=")
			switch strings.ToLower(key) {
			case "hash":
				digest, _ := hex.DecodeString(value)
				copy(e.thumbprint[:], digest)
			case "cert":
				e.forwarded = value
			}
			if !strings.HasSuffix(part, ";") {
				found, e = append(found, e), element{}
			}
		}
		if diff := cmp.Diff(found, elements, cmp.AllowUnexported(element{})); diff != "" {
			t.Fatalf("parseXFCC (-naively +got):\n%s", diff)
		}
	})
}

func BenchmarkXFCC(b *testing.B) {
	client, hash := forwardedCertificate(b, "client")
	request := &authz.Request{Headers: authz.Headers{{Name: xfcc, Value: "By=spiffe://bank.example/envoy;Hash=" + hash + `;Cert="` + client + `"`}}}
	reads := reader(b, Config{From: FromXFCC})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reads.Read(request); err != nil {
			b.Fatal(err)
		}
	}
}
