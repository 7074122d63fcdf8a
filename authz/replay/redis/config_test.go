package redis_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign-io/countersign/authz"
	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
	"github.com/google/go-cmp/cmp"
)

func TestCheckNamesWhatIsWrong(t *testing.T) {
	empty, long := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "long")
	write(t, empty, "\n")
	write(t, long, strings.Repeat("x", 4097))
	tests := []struct {
		name string
		cfg  redis.Config
		want []string // keys
	}{
		{"on this machine", redis.Config{Address: "127.0.0.1:6379"}, nil},
		{"on this machine, by IPv6", redis.Config{Address: "[::1]:6379"}, nil},
		{"on another, by TLS", redis.Config{Address: "redis.bank.example:6379", TLS: &redis.TLS{}}, nil},
		{"on another, in the clear by choice", redis.Config{Address: "redis.bank.example:6379", Plaintext: true}, nil},
		{"nothing", redis.Config{}, []string{"address"}},
		{"no port", redis.Config{Address: "127.0.0.1"}, []string{"address"}},
		{"no host", redis.Config{Address: ":6379"}, []string{"address", "tls"}},
		{"on another, in the clear", redis.Config{Address: "redis.bank.example:6379"}, []string{"tls"}},
		{"named like this machine", redis.Config{Address: "127.0.0.1.bank.example:6379"}, []string{"tls"}},
		{"both", redis.Config{Address: "127.0.0.1:6379", TLS: &redis.TLS{}, Plaintext: true}, []string{"plaintext"}},
		{"prefix with a hash tag", redis.Config{Address: "127.0.0.1:6379", Prefix: "{a}"}, []string{"prefix"}},
		{"prefix too long", redis.Config{Address: "127.0.0.1:6379", Prefix: strings.Repeat("a", 65)}, []string{"prefix"}},
		{"user without password", redis.Config{Address: "127.0.0.1:6379", Username: "countersign"}, []string{"password_file"}},
		{"no password file", redis.Config{Address: "127.0.0.1:6379", PasswordFile: "absent"}, []string{"password_file"}},
		{"empty password file", redis.Config{Address: "127.0.0.1:6379", PasswordFile: empty}, []string{"password_file"}},
		{"long password file", redis.Config{Address: "127.0.0.1:6379", PasswordFile: long}, []string{"password_file"}},
		{"no authorities", redis.Config{Address: "127.0.0.1:6379", TLS: &redis.TLS{CAFile: empty}}, []string{"tls.ca_file"}},
		{"a certificate without its key", redis.Config{Address: "127.0.0.1:6379", TLS: &redis.TLS{CertificateFile: empty}}, []string{"tls.certificate_file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.cfg.Check()
			var got []string
			for _, problem := range authz.ProblemsOf(err) {
				got = append(got, problem.Key)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Check() names (-want +got):\n%s", diff)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("Check() = %v, which tells the password", err)
			}
		})
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A password is read from its file for every connection, so that it can be changed, and
// no error repeats it.
func TestPasswordOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, "wrong-secret\n")
	server := redistest.Start(t, "--requirepass", "right-secret")
	engine := open(t, redis.Config{Address: server.Address, PasswordFile: file})
	err := engine.Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Ready() = %v, want WRONGPASS, and not the password", err)
	}
	write(t, file, "right-secret\n")
	mustBeFresh(t, engine, 1)
	mustBeFresh(t, open(t, redis.Config{Address: server.Address, Username: "default", PasswordFile: file}), 2)
}
