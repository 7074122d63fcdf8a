package rego

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/loader"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/types"

	"github.com/countersign-io/countersign/authz"
)

// compiled is a policy that can be asked.
type compiled struct {
	compiler *ast.Compiler
	store    storage.Store
	// txn reads the store; see Engine.
	txn storage.Transaction
}

var (
	standard        = ast.MustParseRef("data.countersign.standard")
	standardVerdict = ast.MustParseRef("data.countersign.standard.decision")
	siteDeny        = ast.MustParseRef("data.countersign.site.deny")
	siteWaive       = ast.MustParseRef("data.countersign.site.waive")
)

const correctIt = "correct it; opa check --strict says the same"

// compile checks the policy strictly: unused variables and imports, shadowed
// names, deprecated built-ins, and data that would hide a rule are faults.
func (s *source) compile(ctx context.Context) (*compiled, error) {
	policy, err := s.uncompiled(ctx)
	if err != nil {
		return nil, err
	}
	return s.compileBy(policy)
}

func (s *source) compileBy(policy *compiled) (*compiled, error) {
	if err := s.timeless().Err(); err != nil {
		return nil, err
	}
	policy.compiler.Compile(s.modules)
	if policy.compiler.Failed() {
		return nil, s.problems(policy.compiler.Errors)
	}
	return policy, nil
}

// uncompiled is the compiler and the data, before the modules are compiled.
func (s *source) uncompiled(ctx context.Context) (*compiled, error) {
	store := inmem.NewFromObjectWithOpts(s.data,
		inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	compiler := ast.NewCompiler().
		WithCapabilities(capabilities()).
		WithSchemas(inputSchema()).
		WithDefaultRegoVersion(ast.RegoV1).
		WithPathConflictsCheck(storage.NonEmpty(ctx, store, txn)).
		WithStrict(true).
		SetErrorLimit(0)
	return &compiled{compiler: compiler, store: store, txn: txn}, nil
}

// decision finds the rule that decides.
func (p *compiled) decision(name string) (ast.Ref, error) {
	if name == "" {
		return standardVerdict, nil
	}
	ref := ast.Ref{ast.DefaultRootDocument}
	for _, part := range decisionParts(name) {
		ref = append(ref, ast.StringTerm(part))
	}
	if len(ref) < 3 || len(p.compiler.GetRulesExact(ref)) == 0 {
		return nil, authz.Problems{{Key: "decision", What: fmt.Sprintf("the policy has no rule %q", name),
			Fix: `write package and rule, such as "site.decision"`}}
	}
	return ref, nil
}

func decisionParts(name string) []string {
	name = strings.TrimPrefix(name, "data.")
	if strings.Contains(name, "/") {
		return strings.Split(strings.Trim(name, "/"), "/")
	}
	return strings.Split(name, ".")
}

// intrusions are rules and data of the site that would change the library, or
// that the library would not see.
func (s *source) intrusions() authz.Problems {
	var problems authz.Problems
	for name, module := range s.modules {
		if isLibrary(name) {
			continue
		}
		if module.Package.Path.HasPrefix(standard) {
			problems = append(problems, s.problem(module.Package.Location,
				"package countersign.standard is the embedded library's", "write package countersign.site"))
			continue
		}
		for _, rule := range module.Rules {
			problems = append(problems, s.intrusion(rule)...)
		}
	}
	inOrder(problems)
	if _, taken := s.data["countersign"]; taken {
		problems = append(problems, authz.Problem{File: s.path,
			What: "data.countersign is for the packages of that name", Fix: "put the data under another key"})
	}
	return problems
}

func (s *source) intrusion(rule *ast.Rule) authz.Problems {
	ref := rule.Ref().GroundPrefix()
	// A rule can be written into another package by a reference in its head.
	if ref.HasPrefix(standard) || standard.HasPrefix(ref) {
		return authz.Problems{s.problem(rule.Location,
			"the rule writes into the embedded library", "write it in package countersign.site")}
	}
	hook := ref.HasPrefix(siteDeny) || ref.HasPrefix(siteWaive)
	// A deny that is true, and no set, would refuse nothing.
	if hook && (len(ref) != len(siteDeny) || rule.Head.RuleKind() != ast.MultiValue) {
		return authz.Problems{s.problem(rule.Location,
			"deny and waive must be sets", "write: deny contains \"reason\" if {…}")}
	}
	if code := sayingOf(rule).code; hook && code != "" && !authz.IsCode(code) {
		return authz.Problems{s.problem(rule.Location,
			fmt.Sprintf("%q is no reason: every decision with it would be a policy_error", code), "write a code, [a-z0-9_]{1,64}")}
	}
	return nil
}

func (s *source) problem(location *ast.Location, what, fix string) authz.Problem {
	problem := authz.Problem{What: what, Fix: fix}
	if location != nil {
		problem.File, problem.Line = s.file(location.File), location.Row
	}
	return problem
}

func (s *source) file(name string) string {
	if isLibrary(name) {
		return name
	}
	return filepath.Join(s.path, name)
}

// problems are the faults that OPA found in one go.
func (s *source) problems(err error) authz.Problems {
	var many loader.Errors
	var problems authz.Problems
	if errors.As(err, &many) {
		for _, one := range many {
			problems = append(problems, s.problems(one)...)
		}
		return problems
	}
	var faults ast.Errors
	var one *ast.Error
	switch {
	case errors.As(err, &faults):
	case errors.As(err, &one):
		faults = ast.Errors{one}
	default:
		return authz.Problems{{File: s.path, What: err.Error(), Fix: "correct the file"}}
	}
	for _, fault := range faults {
		problems = append(problems, s.problem(fault.Location, what(fault), fix(fault)))
	}
	inOrder(problems)
	return problems
}

func inOrder(problems authz.Problems) {
	slices.SortStableFunc(problems, func(a, b authz.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

func what(fault *ast.Error) string {
	if name, absent := absentBuiltin(fault); absent {
		return name + " is not for policies: " + impurity(name)
	}
	if detail, misspelt := unknownKey(fault); misspelt {
		return spelled(detail.Ref[:detail.Pos]) + " has no " + detail.Ref[detail.Pos].String()
	}
	return fault.Message + mismatch(fault)
}

func fix(fault *ast.Error) string {
	if _, absent := absentBuiltin(fault); absent {
		return "decide on what the input and the data hold"
	}
	if detail, misspelt := unknownKey(fault); misspelt {
		return suggestion(detail)
	}
	switch fault.Details.(type) {
	case *ast.UnificationErrDetail:
		return "compare facts of one type, those of an object one by one; countersign schema prints what each is"
	case *ast.ArgErrDetail, *ast.RefErrUnsupportedDetail:
		return "correct it; countersign schema prints what each fact is"
	}
	return correctIt
}

// absentBuiltin names the built-in that a policy called and is not given.
func absentBuiltin(fault *ast.Error) (string, bool) {
	name, called := strings.CutPrefix(fault.Message, "undefined function ")
	return name, called && forbidden(name)
}

// unknownKey is a reference to a key that there is not: of the input, which its schema
// lists, or of the policy.
func unknownKey(fault *ast.Error) (*ast.RefErrInvalidDetail, bool) {
	detail, ok := fault.Details.(*ast.RefErrInvalidDetail)
	return detail, ok && len(detail.OneOf) > 0
}

func suggestion(detail *ast.RefErrInvalidDetail) string {
	known := make([]string, len(detail.OneOf))
	for i, key := range detail.OneOf {
		known[i] = strings.Trim(key.String(), `"`)
	}
	meant, _ := detail.Ref[detail.Pos].Value.(ast.String)
	return authz.Suggest(string(meant), known)
}

// maxTypes is how much of what types things are is worth reading in one line.
const maxTypes = 120

// mismatch says of which types things are that do not go together.
func mismatch(fault *ast.Error) string {
	var told string
	switch detail := fault.Details.(type) {
	case *ast.UnificationErrDetail:
		told = ": " + types.Sprint(detail.Left) + " is never " + types.Sprint(detail.Right)
	case *ast.ArgErrDetail:
		var given []string
		for _, argument := range detail.Have {
			if argument != nil { // what the call gives, not what it is given
				given = append(given, types.Sprint(argument))
			}
		}
		told = ": given " + strings.Join(given, ", ") + ", takes " + detail.Want.String()
	case *ast.RefErrUnsupportedDetail:
		told = ": " + spelled(detail.Ref[:detail.Pos+1]) + " is " + types.Sprint(detail.Have)
	}
	if len(told) > maxTypes {
		return ""
	}
	return told
}
