package contract

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

func TestAuthorizationDetailsThatAreAskedFor(t *testing.T) {
	document := write(t, t.TempDir(), "openapi.yaml", `
openapi: 3.1.0
security: [{o: [payments]}]
paths:
  /plain: {get: {operationId: plain}}
  /pay:
    post:
      operationId: pay
      x-countersign:
        authorization_details:
          - {type: payment_initiation, actions: [initiate, status], datatypes: [single]}
          - {type: treasury, privileges: [owner]}
components: {securitySchemes: {o: {type: openIdConnect, openIdConnectUrl: u}}}
`)
	contracts := load(t, Config{APIs: []API{{Name: "bank", Document: document, Audiences: []string{"urn:rs"}}}})
	for id, want := range map[string][]authz.DetailRule{
		"plain": nil,
		"pay": {
			{Type: "payment_initiation", Actions: []string{"initiate", "status"}, DataTypes: []string{"single"}},
			{Type: "treasury", Privileges: []string{"owner"}},
		},
	} {
		found := operation(t, contracts, id)
		if diff := cmp.Diff(want, found.Details); diff != "" {
			t.Errorf("%s asks for (-want +got):\n%s", id, diff)
		}
		if diff := cmp.Diff([]string{"urn:rs"}, found.Audiences); diff != "" {
			t.Errorf("%s is of (-want +got):\n%s", id, diff)
		}
	}
}
