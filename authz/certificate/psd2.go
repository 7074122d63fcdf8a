package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/countersign-io/countersign/authz"
)

// Object identifiers: RFC 3739 §3.2.6, X.520, and, by the content of their DER, ETSI
// EN 319 412-5 §4 and ETSI TS 119 495 Annex A.
var (
	qcStatementsID = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	organizationID = asn1.ObjectIdentifier{2, 5, 4, 97}
	qcComplianceID = identifier(0, 4, 0, 1862, 1, 1)
	qcTypeID       = identifier(0, 4, 0, 1862, 1, 6)
	qcTypeWebID    = identifier(0, 4, 0, 1862, 1, 6, 3)
	psd2ID         = identifier(0, 4, 0, 19495, 2)
	roleNames      = namesByID()
)

// namesByID are the names that ETSI registered, by the content of their identifiers
// (TS 119 495 Annex A, V1.8.1).
func namesByID() map[string]string {
	names := map[string]string{
		identifier(0, 4, 0, 19495, 1, 0):  "Unspecified",
		identifier(0, 4, 0, 19495, 1, 51): "VOP_RS",
		identifier(0, 4, 0, 19495, 1, 52): "VOP_VS",
	}
	for i, role := range authz.PSD2Roles() {
		names[identifier(0, 4, 0, 19495, 1, i+1)] = role
	}
	return names
}

// identifier is the content of an identifier's DER, behind tag and length.
func identifier(arcs ...int) string {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err) // the identifiers above can all be encoded
	}
	return string(der[2:])
}

// qualify reads what a certificate's qcStatements say of its holder (ETSI TS 119 495
// §5). What is wrong with them is the identity's doubt, and no error: a token can be
// bound to such a certificate all the same.
func qualify(identity *authz.Identity, parsed *x509.Certificate) {
	for _, extension := range parsed.Extensions {
		if !extension.Id.Equal(qcStatementsID) {
			continue
		}
		found, err := readStatements(extension.Value)
		if err == nil && found.psd2 != nil {
			err = found.believe(identity, parsed)
		}
		if err != nil {
			identity.Doubt = "its qcStatements are not believed: " + err.Error()
			return
		}
		identity.Qualified = found.compliance && found.web
	}
}

// statements are those of a qcStatements extension that are known here.
type statements struct {
	// compliance, typed and web are QcCompliance, QcType, and its type for websites.
	compliance, typed, web bool
	psd2                   *authz.PSD2
}

// readStatements reads an extension's value. Each statement may stand once.
func readStatements(der []byte) (statements, error) {
	var found statements
	list, err := only(der, asn1.TagSequence)
	if err != nil {
		return found, err
	}
	seen := map[string]bool{}
	for len(list) > 0 {
		var statement, id []byte
		if statement, list, err = take(list, asn1.TagSequence); err != nil {
			return found, err
		}
		if id, statement, err = take(statement, asn1.TagOID); err != nil {
			return found, err
		}
		if seen[string(id)] {
			return found, errors.New("a statement stands twice")
		}
		seen[string(id)] = true
		if err := found.read(string(id), statement); err != nil {
			return found, err
		}
	}
	return found, nil
}

// read takes one statement: its identifier, and what stands behind that.
func (s *statements) read(id string, info []byte) error {
	var err error
	switch id {
	case qcComplianceID:
		s.compliance = true
		if len(info) > 0 {
			return errors.New("QcCompliance holds something")
		}
	case qcTypeID:
		s.typed = true
		s.web, err = readTypes(info)
	case psd2ID:
		s.psd2, err = readPSD2(info)
	}
	return err
}

// readTypes reports whether websites are among the types (EN 319 412-5 §4.2.3).
func readTypes(info []byte) (web bool, err error) {
	list, err := only(info, asn1.TagSequence)
	for err == nil && len(list) > 0 {
		var id []byte
		if id, list, err = take(list, asn1.TagOID); string(id) == qcTypeWebID {
			web = true
		}
	}
	return web, err
}

// authorityPattern is GEN-5.2.3's.
var authorityPattern = regexp.MustCompile(`^[A-Z]{2}-[A-Z]{2,8}$`)

// readPSD2 reads a PSD2QcType (TS 119 495 Annex A).
func readPSD2(info []byte) (*authz.PSD2, error) {
	fields, err := only(info, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	list, fields, err := take(fields, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	psd2 := &authz.PSD2{}
	if psd2.Roles, err = readRoles(list); err != nil {
		return nil, err
	}
	// The authority's name is for people: nothing is decided by it.
	if _, fields, err = takeText(fields); err != nil {
		return nil, err
	}
	if psd2.Authority, fields, err = takeText(fields); err != nil {
		return nil, err
	}
	if len(fields) > 0 {
		return nil, errNotDER
	}
	return psd2, checkAuthority(psd2)
}

// checkAuthority holds GEN-5.2.3: who has no national authority says so.
func checkAuthority(psd2 *authz.PSD2) error {
	above := slices.Contains(psd2.Roles, "PSP_CB") || slices.Contains(psd2.Roles, "PSP_PA")
	if above && psd2.Authority == "NA" || !above && authorityPattern.MatchString(psd2.Authority) {
		return nil
	}
	return errors.New("its authority is not written as ETSI TS 119 495 has it, such as GB-FCA")
}

// readRoles reads RolesOfPSP. A role is what its identifier says; one that is not
// ETSI's is passed over.
func readRoles(list []byte) ([]string, error) {
	if len(list) == 0 {
		return nil, errors.New("it has no roles")
	}
	var roles []string
	for len(list) > 0 {
		role, rest, err := take(list, asn1.TagSequence)
		if err != nil {
			return nil, err
		}
		list = rest
		id, rest, err := take(role, asn1.TagOID)
		if err != nil {
			return nil, err
		}
		name, rest, err := takeText(rest)
		if err != nil || len(rest) > 0 {
			return nil, errNotDER
		}
		registered, known := roleNames[string(id)]
		if known && name != registered {
			return nil, fmt.Errorf("a role has the identifier of %s and another name", registered)
		}
		if slices.Contains(authz.PSD2Roles(), registered) && !slices.Contains(roles, registered) {
			roles = append(roles, registered)
		}
	}
	return roles, nil
}

// believe gives the identity its PSD2 statement. A certificate that says for what it
// was issued must have been issued for websites (a QWAC): with one for seals, nobody
// was meant to open a connection.
func (s *statements) believe(identity *authz.Identity, parsed *x509.Certificate) error {
	if s.typed && !s.web {
		return errors.New("QcType names no certificate for websites")
	}
	s.psd2.ID = providerID(parsed, s.psd2.Authority)
	identity.PSD2 = s.psd2
	return nil
}

// providerPattern is GEN-5.2.1-3's: country and authority, and the number that the
// authority gave.
var providerPattern = regexp.MustCompile(`^PSD([A-Z]{2}-[A-Z]{2,8})-[^\pC]{1,200}$`)

// providerID is the subject's organizationIdentifier where there is one and it is of
// the form of a payment service provider of the authority, else "". From V1.5.1 on it
// may have another form, so that is no fault.
func providerID(parsed *x509.Certificate, authority string) string {
	id := ""
	for _, attribute := range parsed.Subject.Names {
		if !attribute.Type.Equal(organizationID) {
			continue
		}
		text, _ := attribute.Value.(string)
		found := providerPattern.FindStringSubmatch(text)
		if id != "" || found == nil || found[1] != authority {
			return ""
		}
		id = text
	}
	return id
}

var errNotDER = errors.New("they are not the DER that ETSI TS 119 495 describes")

// take reads one element of the tag, and returns its content and what follows it.
func take(der []byte, tag int) (content, rest []byte, err error) {
	var element asn1.RawValue
	rest, err = asn1.Unmarshal(der, &element)
	if err != nil || element.Class != asn1.ClassUniversal || element.Tag != tag || element.IsCompound != (tag == asn1.TagSequence) {
		return nil, nil, errNotDER
	}
	return element.Bytes, rest, nil
}

// only reads one element of the tag that nothing follows.
func only(der []byte, tag int) ([]byte, error) {
	content, rest, err := take(der, tag)
	if err != nil || len(rest) > 0 {
		return nil, errNotDER
	}
	return content, nil
}

// maxName is Annex A's SIZE of every text, in characters.
const maxName = 256

// takeText reads a UTF8String of 1 to 256 characters.
func takeText(der []byte) (text string, rest []byte, err error) {
	content, rest, err := take(der, asn1.TagUTF8String)
	length := utf8.RuneCount(content)
	if err != nil || !utf8.Valid(content) || length == 0 || length > maxName {
		return "", nil, errNotDER
	}
	return string(content), rest, nil
}
