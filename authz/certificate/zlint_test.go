package certificate

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	// Imported for its module alone, in which zlint's certificates lie: a package of it
	// that needs nothing else.
	_ "github.com/zmap/zlint/v3/integration/lints/lint"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// zlintFiles are the PSD2 certificates in zlint's testdata, by their names without what
// is common to all.
func zlintFiles(t *testing.T) map[string][]byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/zmap/zlint/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	const prefix, suffix = "QcStmtEtsiPsd2", "Cert01.pem"
	names, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", prefix+"*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			t.Fatalf("%s is no PEM", name)
		}
		files[strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), prefix), suffix)] = block.Bytes
	}
	return files
}

// TestZlintsCertificates reads the PSD2 certificates of zlint, which were made by others.
// Where we believe what zlint reports, the comment says why.
func TestZlintsCertificates(t *testing.T) {
	of := func(authority, id string, roles ...string) *authz.PSD2 {
		return &authz.PSD2{Roles: roles, Authority: authority, ID: id}
	}
	spanish := of("ES-BDE", "", "PSP_AS")
	numbered := of("ES-BDE", "PSDES-BDE-3DFD21", "PSP_AS")
	want := map[string]*authz.PSD2{
		"Valid":             spanish,
		"RoleNameMismatch":  nil, // Q1
		"RolesEmpty":        nil, // Q1
		"WrongEncoding":     nil, // Q1
		"NcaNameEmpty":      nil, // Q1
		"NcaNameTooLong":    nil, // Q1
		"NcaIdBadFormat":    nil, // Q2
		"NcaIdPspPaInvalid": nil, // Q2

		// A role of somebody else's, and none.
		"RoleUnrecognizedOid": of("ES-BDE", ""),
		"RoleUnspecified":     of("ES-BDE", ""),

		// Which countries there are changes, and only the form is ours to hold.
		"NcaIdBadCountry": of("ZZ-BDE", "", "PSP_AS"),
		"NcaIdEuMatch":    of("DE-BAFIN", "", "PSP_AS"),
		"NcaIdNonEu":      of("US-XYZ", "", "PSP_AS"),

		// The authority's name is for people, so that it should be NA is not held.
		"NcaIdPspCbValid":     of("NA", "", "PSP_CB"),
		"NcaIdPspPaValid":     of("NA", "", "PSP_PA"),
		"NcaNamePspCbInvalid": of("NA", "", "PSP_CB"),
		"NcaNamePspCbValid":   of("NA", "", "PSP_CB"),
		"NcaNamePspPaValid":   of("NA", "", "PSP_PA"),

		// Q3: what is not of the form, or of another authority, is no id.
		"OrgIdJustBeforeBoundary": numbered,
		"OrgIdOnBoundary":         numbered,
		"OrgIdShallValid":         numbered,
		"OrgIdShouldValid":        numbered,
		"OrgIdShallBadCountry":    spanish,
		"OrgIdShallMalformed":     spanish,
		"OrgIdShouldMalformed":    spanish,
	}
	files := zlintFiles(t)
	for name := range want {
		if files[name] == nil {
			t.Errorf("zlint has no certificate %s", name)
		}
	}
	for name, der := range files {
		t.Run(name, func(t *testing.T) {
			psd2, listed := want[name]
			if !listed {
				t.Fatal("what is to be made of it is not said here")
			}
			got, err := read(t, forward(toPEM(pemType, der)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(psd2, got.Identity.PSD2); diff != "" {
				t.Errorf("PSD2 (-want +got):\n%s", diff)
			}
			if doubted := got.Identity.Doubt != ""; doubted != (psd2 == nil) {
				t.Errorf("doubt is %q", got.Identity.Doubt)
			}
		})
	}
}
