package rego

import "github.com/open-policy-agent/opa/v1/ast"

// access is the key of the data where the library's tables are.
const access = "access"

var accessRef = ast.Ref{ast.DefaultRootDocument, ast.StringTerm(access)}

// tablesModule are the library's rules that read data.access.
const tablesModule = libraryFolder + "tables.rego"

// withoutUnusedTables leaves the rules out that read data.access where neither the data nor
// the policy speaks of it: none of them could hold then, every decision would pay for them,
// and more of the input would be built and kept.
func (s *source) withoutUnusedTables() {
	if _, there := s.data[access]; there || s.speaksOfAccess() {
		return
	}
	delete(s.modules, tablesModule)
	delete(s.raw, tablesModule)
}

// speaksOfAccess reports a rule of the site's at data.access, or one that refers to it or
// to what may be it.
func (s *source) speaksOfAccess() bool {
	spoken := false
	for name, module := range s.modules {
		if isLibrary(name) {
			continue
		}
		ast.WalkRefs(module, func(ref ast.Ref) bool {
			spoken = spoken || ref[0].Equal(ast.DefaultRootDocument) && agree(ref.ConstantPrefix()[1:], []string{access})
			return spoken
		})
	}
	return spoken
}
