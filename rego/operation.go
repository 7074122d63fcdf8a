package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/countersign-io/countersign/authz"
)

func declaration(key string, is shape, value func(o *authz.Operation) *ast.Term) field[*authz.Operation] {
	return field[*authz.Operation]{key: ast.StringTerm(key), shape: is, value: value}
}

// operationFields are what the contract says of an operation, whatever is requested.
func operationFields() []field[*authz.Operation] {
	return []field[*authz.Operation]{
		declaration("id", isText, func(o *authz.Operation) *ast.Term { return text(o.ID) }),
		declaration("api", isText, func(o *authz.Operation) *ast.Term { return text(o.API) }),
		declaration("audiences", isTexts, func(o *authz.Operation) *ast.Term { return list(o.Audiences) }),
		declaration("path", isText, func(o *authz.Operation) *ast.Term { return text(o.Path) }),
		declaration("method", isText, func(o *authz.Operation) *ast.Term { return text(o.Method) }),
		declaration("scopes", isTextLists, func(o *authz.Operation) *ast.Term {
			return array(o.Security, func(r authz.Requirement) *ast.Term { return texts(r.Scopes) })
		}),
		declaration("permission", isText, func(o *authz.Operation) *ast.Term { return text(o.Permission) }),
		declaration("consent", isTextLists, func(o *authz.Operation) *ast.Term {
			if len(o.Consent) == 0 {
				return nil
			}
			return array(o.Consent, texts)
		}),
		declaration("regions", isTexts, func(o *authz.Operation) *ast.Term {
			if len(o.Regions) == 0 {
				return nil
			}
			return texts(o.Regions)
		}),
		declaration("step_up", isStepUp, stepUp),
		declaration("limits", listOf(isLimit), limits),
		declaration("grant", isText, func(o *authz.Operation) *ast.Term { return text(o.Grant) }),
		declaration("public", isBoolean, func(o *authz.Operation) *ast.Term { return ast.InternedTerm(o.TakesAnonymous()) }),
		declaration("stream", isBoolean, func(o *authz.Operation) *ast.Term { return ast.InternedTerm(o.Stream) }),
	}
}

// texts is an array where there is nothing, too.
func texts(items []string) *ast.Term {
	return array(items, func(item string) *ast.Term { return ast.StringTerm(item) })
}

var stepUpKeys = struct{ acrValues, maxAge *ast.Term }{
	ast.StringTerm("acr_values"), ast.StringTerm("max_age"),
}

func stepUp(o *authz.Operation) *ast.Term {
	if o.StepUp == nil {
		return nil
	}
	var pairs []pair
	if len(o.StepUp.ACRValues) > 0 {
		pairs = append(pairs, pair{stepUpKeys.acrValues, texts(o.StepUp.ACRValues)})
	}
	if o.StepUp.MaxAge != 0 {
		pairs = append(pairs, pair{stepUpKeys.maxAge, nanoseconds(int64(o.StepUp.MaxAge))})
	}
	return ast.ObjectTerm(pairs...)
}

var limitKeys = struct{ per, max, window *ast.Term }{
	ast.StringTerm("per"), ast.StringTerm("max"), ast.StringTerm("window"),
}

// limits are for a policy to know, and spent whatever it says of them.
func limits(o *authz.Operation) *ast.Term {
	if len(o.Limits) == 0 {
		return nil
	}
	return array(o.Limits, func(rule authz.LimitRule) *ast.Term {
		return ast.ObjectTerm(
			pair{limitKeys.per, text(rule.Per)},
			pair{limitKeys.max, ast.IntNumberTerm(int(rule.Max))},
			pair{limitKeys.window, nanoseconds(int64(rule.Window))})
	})
}
