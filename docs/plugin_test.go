package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/cmd/countersign/config"
)

// unheededKeys are the keys that change nothing, as package config has them.
var unheededKeys = regexp.MustCompile(`(?s)unheeded(OPA|Plugin) = map\[string\]string\{(.*?)\n\t\}`)

var quotedKey = regexp.MustCompile(`"([a-z_-]+)":\s`)

// TestKeysLeftAreTold holds the page's table of what is not heeded: every key is there,
// with what a start tells of it.
func TestKeysLeftAreTold(t *testing.T) {
	documented := rows(page(t, "from-opa-envoy-plugin.md"), "Key left")
	source := page(t, filepath.Join("..", "cmd", "countersign", "config", "peer.go"))
	var real []string
	plugin := map[string]bool{}
	for _, of := range unheededKeys.FindAllStringSubmatch(source, -1) {
		for _, key := range quotedKey.FindAllStringSubmatch(of[2], -1) {
			real = append(real, key[1])
			plugin[key[1]] = of[1] == "Plugin"
		}
	}
	same(t, firsts(t, documented), real)
	for _, row := range documented {
		key := strings.Trim(row[0], "`")
		text := key + ": {}\n"
		if plugin[key] {
			text = "plugins: {envoy_ext_authz_grpc: {" + key + ": 1}}\n"
		}
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.LoadPeer(config.Peer{File: file}, os.LookupEnv)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if told := cfg.Unheeded(); len(told) != 1 || told[0].Because != row[1] {
			t.Errorf("%s: the page says %q, a start %+v", key, row[1], told)
		}
	}
}
