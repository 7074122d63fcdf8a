package rego

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign-io/countersign/authz"
)

// rightTables are tables without a fault, with everything that there can be in them.
const rightTables = `{
	"roles": {"teller": ["read_accounts"], "operator": ["admin_freeze", "close_accounts"], "idle": []},
	"access": {
		"inherits": {"manager": ["teller"], "director": ["manager", "operator"]},
		"grants": {"https://staff.example": {"sam": [{"role": "manager", "from": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}]}},
		"kinds": {"customer": ["read_accounts"], "client": [], "staff": "all"},
		"clients": {"https://as.example": {"acme": ["create_consents"]}},
		"tenants": {"retail": "all", "private": ["read_accounts"]},
		"relations": {"owner": "all", "delegate": ["read_accounts"]},
		"actors": {"https://as.example": {"app": ["read_accounts"], "desk": "all"}},
		"hours": {
			"permissions": {"create_consents": [{"days": ["mon"], "from": "22:00", "to": "06:00", "zone": "Europe/London"}]},
			"roles": {"director": [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00", "zone": "UTC"}], "idle": []}
		},
		"admin": {"roles": ["operator"], "permissions": ["close_accounts"], "operations": ["Freeze"]},
		"break_glass": {"https://staff.example": {"sam": [{
			"ticket": "INC-4711", "from": "2026-11-20T09:00:00Z", "until": "2026-11-27T09:00:00Z",
			"permissions": ["read_accounts"], "requirements": ["permission", "not_owner"], "objects": ["account:22289"]
		}]}}
	}
}`

func TestTablesThatAreRight(t *testing.T) {
	if got := problems(t, "", map[string]string{"data.json": rightTables}); got != nil {
		t.Errorf("problems = %q, want none", got)
	}
	// YAML writes an instant without quotes, too.
	instants := "roles: {a: [p]}\naccess:\n  grants: {as: {sam: [{role: a, from: \"2026-11-01T00:00:00Z\", until: \"2026-12-01T00:00:00Z\"}]}}\n"
	if got := problems(t, "", map[string]string{"data.yaml": instants}); got != nil {
		t.Errorf("problems = %q, want none", got)
	}
}

func TestTablesWithFaults(t *testing.T) {
	s, err := load(Config{})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := s.compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reached := reachOf(policy.compiler, standardVerdict)
	window := `[{"days": ["mon"], "from": "08:00", "to": "18:00", "zone": "UTC"}]`
	for name, c := range map[string]struct{ old, new, want string }{
		"no object":                  {`"access": {`, `"access": [], "rest": {`, `data.access: is no object`},
		"a table that there is not":  {`"hours": {`, `"hour": {`, `data.access.hour: the library has no such key; did you mean "hours"?`},
		"roles that are no table":    {`"teller": ["read_accounts"]`, `"teller": "read_accounts"`, `data.roles.teller: is no list`},
		"permissions that are no":    {`"teller": ["read_accounts"]`, `"teller": ["read_accounts", 5]`, `data.roles.teller[1]: is no text`},
		"an unknown role inherited":  {`"manager": ["teller"]`, `"manager": ["teler"]`, `data.access.inherits.manager[0]: data.roles has no role "teler"; did you mean "teller"?`},
		"a circle":                   {`"manager": ["teller"]`, `"manager": ["director"]`, `data.access.inherits.director: inherits itself: director, manager, director`},
		"a role that is its own":     {`"manager": ["teller"]`, `"manager": ["manager"]`, `data.access.inherits.manager: inherits itself: manager, manager`},
		"heirs of a text":            {`"manager": ["teller"]`, `"manager": "teller"`, `data.access.inherits.manager: is no list`},
		"a grant of an unknown role": {`{"role": "manager"`, `{"role": "boss"`, `data.access.grants.https://staff.example.sam[0].role: data.roles has no role "boss"`},
		"a grant without an end":     {`, "until": "2026-12-01T00:00:00Z"`, ``, `data.access.grants.https://staff.example.sam[0].until: is not there`},
		"a grant until no instant":   {`"2026-12-01T00:00:00Z"`, `"2026-12-01"`, `sam[0].until: is no instant of UTC; write it as "2026-11-21T09:00:00Z"`},
		"a grant until no day":       {`"2026-12-01T00:00:00Z"`, `"2026-02-30T00:00:00Z"`, `sam[0].until: is no instant of UTC`},
		"a grant of another form":    {`"sam": [{"role"`, `"sam": [{"rule": 1, "role"`, `sam[0].rule: the library has no such key; did you mean "role"?`},
		"grants without a subject":   {`{"sam": [{"role": "manager", "from": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z"}]}`, `[{"role": "manager"}]`, `data.access.grants.https://staff.example: is no object`},
		"an unknown kind":            {`"kinds": {"customer"`, `"kinds": {"costumer"`, `data.access.kinds.costumer: there is no such kind of caller; did you mean "customer"?`},
		"everything by another name": {`"staff": "all"`, `"staff": "any"`, `data.access.kinds.staff: is neither a list of permissions nor all`},
		"a relation to one":          {`"delegate": ["read_accounts"]`, `"delegate": {"read_accounts": true}`, `data.access.relations.delegate: is no list`},
		"an unknown permission":      {`"permissions": {"create_consents"`, `"permissions": {"create_consent"`, `data.access.hours.permissions.create_consent: no role and no client has the permission "create_consent"; did you mean "create_consents"?`},
		"hours of an unknown role":   {`"idle": []}` + "\n", `"ilde": []}` + "\n", `data.access.hours.roles.ilde: data.roles has no role "ilde"; did you mean "idle"?`},
		"an unknown day":             {`"days": ["mon"]`, `"days": ["monday"]`, `create_consents[0].days[0]: "monday" is no day`},
		"no time of day":             {`"from": "22:00"`, `"from": "22.00"`, `create_consents[0].from: is no time of day; write it as "08:00"`},
		"no zone":                    {`Europe/London`, `Europe/Lodnon`, `create_consents[0].zone: is no time zone of IANA's`},
		"wherever it runs":           {`Europe/London`, `Local`, `create_consents[0].zone: is no time zone of IANA's`},
		"files":                      {`Europe/London`, `../../etc/passwd`, `create_consents[0].zone: is no time zone of IANA's`},
		"no zone at all":             {`, "zone": "Europe/London"`, ``, `create_consents[0].zone: is not there`},
		"a window of no length":      {`"22:00", "to": "06:00"`, `"22:00", "to": "22:00"`, `create_consents[0]: begins when it ends, or never`},
		"a window in place of some":  {`"director": [{"days": ["sat", "sun"], "from": "00:00", "to": "24:00", "zone": "UTC"}]`, `"director": ` + strings.Trim(window, "[]"), `data.access.hours.roles.director: is no list`},
		"no administrators":          {`"roles": ["operator"], "permissions": ["close_accounts"]`, `"permissions": ["close_accounts"]`, `data.access.admin.roles: is not there, so that the rest holds for nobody`},
		"administrators' unknown":    {`"permissions": ["close_accounts"]`, `"permissions": ["close_account"]`, `data.access.admin.permissions[0]: no role and no client has the permission "close_account"`},
		"a ticket that is a person":  {`INC-4711`, `sam@bank.example`, `sam[0].ticket: is no ticket`},
		"glass that stays broken":    {`"2026-11-27T09:00:00Z"`, `"2026-11-27T09:00:01Z"`, `sam[0].until: is more than 7 days after from; what is needed for longer is a role`},
		"glass that does not break":  {`"requirements": ["permission", "not_owner"]`, `"requirements": ["permission", "step_up"]`, `sam[0].requirements[1]: broken glass does not lift "step_up"`},
		"a list of tenants":          {`{"retail": "all", "private": ["read_accounts"]}`, `["retail"]`, `data.access.tenants: is no object`},
		"an object without a type":   {`"account:22289"`, `"22289"`, `sam[0].objects[0]: names no object; write type and id, such as "account:22289"`},
		"glass without a ticket":     {`"ticket": "INC-4711", `, ``, `sam[0].ticket: is not there`},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Count(rightTables, c.old) != 1 {
				t.Fatalf("the tables have %q %d times", c.old, strings.Count(rightTables, c.old))
			}
			s.data = parsed(t, strings.Replace(rightTables, c.old, c.new, 1)).(map[string]any)
			if err := s.tableFaults(reached).Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("faults %v, want %q", err, c.want)
			}
		})
	}
}

// TestInheritanceInTooManyWays holds that what each decision must go through is bounded.
func TestInheritanceInTooManyWays(t *testing.T) {
	roles, inherits := `"a": ["p"]`, `"l0_0": ["a"], "l0_1": ["a"]`
	for layer := range 12 {
		for i := range 2 {
			inherits += fmt.Sprintf(`, "l%d_%d": ["l%d_0", "l%d_1"]`, layer+1, i, layer, layer)
		}
	}
	got := problems(t, "", map[string]string{"data.json": `{"roles": {` + roles + `}, "access": {"inherits": {` + inherits + `}}}`})
	if len(got) != 1 || !strings.Contains(got[0], "comes to what it inherits in more than 1000 ways") {
		t.Errorf("problems = %q, want one of the ways", got)
	}
}

// TestOtherPoliciesHaveTheirOwnData holds that data.access is not the library's where the
// decision does not read its tables.
func TestOtherPoliciesHaveTheirOwnData(t *testing.T) {
	files := map[string]string{"data.json": `{"access": {"mine": 1}, "roles": 5}`, "a.rego": "package site\n\ndecision := data.access.mine == 1\n"}
	if got := problems(t, "site.decision", files); got != nil {
		t.Errorf("problems = %q, want none", got)
	}
}

// TestTablesAreNoRules holds that nothing stands in for the tables that is not looked
// through for faults: broken glass of a rule could be anybody's, and have no end.
func TestTablesAreNoRules(t *testing.T) {
	glass := `package access

break_glass := {input.caller.issuer: {input.caller.subject: [{"ticket": input.token.claims.case, "from": "0001-01-01T00:00:00Z",
	"until": "9999-12-31T23:59:59Z", "permissions": ["read_accounts"], "requirements": ["not_owner"], "objects": "all"}]}}
`
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"alone":           {map[string]string{"a.rego": glass}, "a.rego:3: the library's tables are no rules"},
		"beside the data": {map[string]string{"a.rego": glass, "data.json": `{"access": {"kinds": {"staff": "all"}}}`}, "a.rego:3: the library's tables are no rules"},
		"below":           {map[string]string{"a.rego": "package access.hours\n\nroles := {}\n"}, "a.rego:3: the library's tables are no rules"},
		"one by one":      {map[string]string{"a.rego": "package access\n\nkinds[kind] := \"all\" if kind := input.caller.kind\n"}, "a.rego:3: the library's tables are no rules"},
	} {
		if got := problems(t, "", c.files); len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: problems = %q, want %q", name, got, c.want)
		}
	}
	own := map[string]string{"a.rego": "package access\n\ndecision if input.caller.kind == \"staff\"\n"}
	if got := problems(t, "access.decision", own); got != nil {
		t.Errorf("of a decision that does not read them: %q, want none", got)
	}
}

// TestTablesAreReadWhereTheyAre holds that a decision without them does not pay for them,
// and that none is left out that the policy makes itself.
func TestTablesAreReadWhereTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"no policy":            {files: nil},
		"other data":           {files: map[string]string{"data.json": policyData}},
		"data":                 {files: map[string]string{"data.json": `{"access": {}}`}, want: true},
		"a rule in its place":  {files: map[string]string{"a.rego": "package site\n\nimport data.access\n\nkinds := access.kinds\n"}, want: true},
		"in place of the data": {files: map[string]string{"a.rego": "package site\n\nimport data.countersign.standard\n\ndecision := d if d := standard.decision with data.access as {\"kinds\": {}}\n"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			reads := slices.Contains(engine(t, "", c.files).Reaches(), "input.caller.actor")
			if reads != c.want {
				t.Errorf("reads input.caller.actor: %v, want %v", reads, c.want)
			}
		})
	}
}

// customersTables are policyData and tables by which the request of fullFacts is allowed.
var customersTables = strings.Replace(policyData, `"roles"`, `"access": {
	"kinds": {"customer": ["read_balances"]}, "tenants": {"retail": ["read_balances"]},
	"actors": {"https://as.example": {"app": ["read_balances"]}}, "relations": {"owner": ["read_balances"]},
	"hours": {
		"permissions": {"read_balances": [{"days": ["sat"], "from": "09:00", "to": "10:00", "zone": "UTC"}]},
		"roles": {"customer": [{"days": ["sat"], "from": "09:00", "to": "10:00", "zone": "UTC"}]}}}, "roles"`, 1)

// TestTablesDecide is a decision by the compiled engine, with the tables of the policy.
func TestTablesDecide(t *testing.T) {
	e := engine(t, "", map[string]string{"data.json": customersTables})
	if verdict := decide(t, e, fullFacts()); !verdict.Allowed {
		t.Errorf("refused: %q", verdict.Refusals)
	}
	for name, c := range map[string]struct {
		change func(f *authz.Facts)
		want   []string
	}{
		"a minute early":   {func(f *authz.Facts) { f.Time = f.Time.Add(-1) }, []string{"hours"}},
		"another's tenant": {func(f *authz.Facts) { f.Token.Caller.Tenant = "private" }, []string{"tenant"}},
		"another acts":     {func(f *authz.Facts) { f.Token.Caller.Actor = "bot" }, []string{"actor"}},
		"a delegate": {func(f *authz.Facts) {
			f.Owned[f.Inspection.Objects[0].Object] = authz.Ownership{Relation: "delegate", Region: "GB"}
		}, []string{"relation:account"}},
		"nobody knows whom": {func(f *authz.Facts) { f.Owned[f.Inspection.Objects[0].Object] = authz.Ownership{Region: "GB"} }, []string{"relation:account"}},
	} {
		t.Run(name, func(t *testing.T) {
			facts := fullFacts()
			c.change(facts)
			verdict := decide(t, e, facts)
			if diff := cmp.Diff(c.want, verdict.Refusals); verdict.Allowed || diff != "" {
				t.Errorf("allowed = %v, refusals (-want +got):\n%s", verdict.Allowed, diff)
			}
		})
	}
}
