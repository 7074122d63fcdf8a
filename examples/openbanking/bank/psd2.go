package bank

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// Object identifiers: X.520, RFC 3739 §3.2.6, ETSI TS 119 495 Annex A.
var (
	organizationIdentifier = asn1.ObjectIdentifier{2, 5, 4, 97}
	qcStatements           = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}
	psd2Statement          = asn1.ObjectIdentifier{0, 4, 0, 19495, 2}

	paymentInitiation  = role{asn1.ObjectIdentifier{0, 4, 0, 19495, 1, 2}, "PSP_PI"}
	accountInformation = role{asn1.ObjectIdentifier{0, 4, 0, 19495, 1, 3}, "PSP_AI"}
)

// role is RoleOfPSP, as a certificate has it.
type role struct {
	ID   asn1.ObjectIdentifier
	Name string `asn1:"utf8"`
}

// statementsOf is the extension of a company that the demo's authority lets do this.
func statementsOf(roles []role) (pkix.Extension, error) {
	type qcType struct {
		Roles            []role
		Authority, NCAId string `asn1:"utf8"`
	}
	type statement struct {
		ID   asn1.ObjectIdentifier
		Info qcType
	}
	der, err := asn1.Marshal([]statement{{psd2Statement, qcType{roles, "Financial Conduct Authority", "GB-FCA"}}})
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("certificates: %w", err)
	}
	return pkix.Extension{Id: qcStatements, Value: der}, nil
}
