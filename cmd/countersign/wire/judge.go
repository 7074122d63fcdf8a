package wire

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/token/jwks"
	"github.com/countersign-io/countersign/cmd/countersign/config"
)

// judgeOperations holds what the contracts call for against what there is.
func (l *Loaded) judgeOperations() authz.Problems {
	var problems authz.Problems
	told := map[string]bool{}
	once := func(key, what, fix string) {
		if !told[key] {
			told[key] = true
			problems.Add(key, what, fix)
		}
	}
	for operation := range l.Contracts.Operations() {
		who := fmt.Sprintf("operation %s of %s", operation.ID, operation.API)
		for _, rule := range operation.Objects {
			if _, known := l.Config.Ownership[rule.Type]; !known {
				once("ownership."+string(rule.Type), fmt.Sprintf("is missing, but %s names objects of type %q", who, rule.Type),
					"say which engine knows the owners, or write objects: [] at the operation")
			}
		}
		if len(operation.Consent) > 0 && l.Config.Consent == nil {
			once("consent", "is missing, but "+who+" asks for a consent", "say where consents are kept")
		}
		if len(operation.Consent) > 0 && !l.namesConsent() {
			once("issuers", "have no claims.consent, but "+who+" asks for a consent", "name the claim that holds the consent's id, such as openbanking_intent_id")
		}
		if len(operation.Regions) > 0 && l.Config.Region == "" {
			once("region", "is missing, but "+who+" is served in some regions only", "say where this deployment serves from, such as GB")
		}
	}
	return problems
}

func (l *Loaded) namesConsent() bool {
	for _, issuer := range l.Config.Issuers {
		if issuer.Claims.Consent != "" {
			return true
		}
	}
	return false
}

// checkKeyFiles reads the key sets that are files. Those of URLs are fetched when
// serving: an outage of somebody else's server is not wrong configuration.
func checkKeyFiles(cfg *config.Config) error {
	var problems authz.Problems
	for i, issuer := range cfg.Issuers {
		if issuer.JWKS.File == "" {
			continue
		}
		key := fmt.Sprintf("issuers[%d].jwks.file", i)
		data, err := os.ReadFile(issuer.JWKS.File)
		if err != nil {
			problems.Add(key, "cannot be read", "name a JWK Set file, relative to the configuration")
			continue
		}
		if _, err := jwks.ParseSet(data); err != nil {
			problems.Add(key, "is no usable JWK Set: "+err.Error(), "export the issuer's public signing keys again")
		}
	}
	return problems.Err()
}

// checkPlaces holds that what Countersign writes can be where it is to be.
func checkPlaces(cfg *config.Config) authz.Problems {
	var problems authz.Problems
	if what := notFolder(cfg.State); cfg.State != "" && what != "" {
		problems.Add("state", what, "name a folder, or one that can be made")
	}
	if what := notFolder(cfg.Audit.Folder); cfg.Audit.Folder != "" && what != "" {
		problems.Add("audit.folder", what, "name a folder, or one that can be made")
	}
	if path, isSocket := strings.CutPrefix(cfg.Server.Listen, "unix:"); isSocket {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
			problems.Add("listen", "is there, and is no socket", "name a path that is free")
		}
	}
	return problems
}

// notFolder says why a path neither is a folder nor can become one, or "".
func notFolder(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path:
		return notFolder(filepath.Dir(path))
	case err != nil:
		return "cannot be looked at: " + err.Error()
	case !info.IsDir():
		return "is, or lies in, what is no folder"
	}
	return ""
}

func sorted(problems authz.Problems) authz.Problems {
	slices.SortStableFunc(problems, func(a, b authz.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return problems
}

// Merge puts the problems of a configuration and those of what it names in order. A
// key that could not be read is told once: that it is missing, too, helps nobody.
func Merge(read, named error) error {
	all := authz.ProblemsOf(read)
	told := map[string]bool{}
	for _, problem := range all {
		told[problem.File+":"+problem.Key] = true
	}
	for _, problem := range authz.ProblemsOf(named) {
		if !told[problem.File+":"+problem.Key] {
			all = append(all, problem)
		}
	}
	return sorted(all)
}
