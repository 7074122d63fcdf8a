package redis

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"regexp"
	"time"

	"github.com/redis/rueidis"

	"github.com/countersign-io/countersign/authz"
)

// Config is how a server is reached.
type Config struct {
	// Address is host:port. It is required.
	Address string `yaml:"address"`
	// Username and PasswordFile are what the server asks for; "" means nothing. The
	// file is read for every connection, so that a password can be changed.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	// TLS encrypts the connection. Without it the server must be on this machine, or
	// Plaintext say that something else keeps others from reading and writing.
	TLS       *TLS `yaml:"tls"`
	Plaintext bool `yaml:"plaintext"`
	// Prefix begins all keys; "" means "countersign:". Deployments that share a server
	// and no users need one each.
	Prefix string `yaml:"prefix"`
	// Now is the clock; nil means time.Now.
	Now func() time.Time `yaml:"-"`
}

// TLS is how a server proves itself, and a client to it.
type TLS struct {
	// CAFile has the authorities in PEM; "" means the system's.
	CAFile string `yaml:"ca_file"`
	// CertificateFile and KeyFile are the client's; "" means none.
	CertificateFile string `yaml:"certificate_file"`
	KeyFile         string `yaml:"key_file"`
}

const (
	defaultPrefix = "countersign:"
	// maxPassword bounds a password file.
	maxPassword = 4096
)

// prefixForm has no braces, which mean something to clusters and proxies.
var prefixForm = regexp.MustCompile(`^[A-Za-z0-9._:/-]{0,64}$`)

var errPassword = errors.New("redis: the password file cannot be read, is empty or is longer than 4096 bytes")

// Check says what can be told without a server. Its error is authz.Problems.
func (cfg Config) Check() error {
	_, err := cfg.option()
	return err
}

func (cfg Config) option() (rueidis.ClientOption, error) {
	var problems authz.Problems
	host, port, err := net.SplitHostPort(cfg.Address)
	if err != nil || host == "" || port == "" {
		problems.Add("address", "is no host and port", "write them as in redis.bank.example:6379")
	}
	if cfg.TLS == nil && !cfg.Plaintext && err == nil && !loopback(host) {
		problems.Add("tls", "is missing, and the server is on another machine",
			"write tls: {}, or plaintext: true where something else encrypts the connection")
	}
	if cfg.TLS != nil && cfg.Plaintext {
		problems.Add("plaintext", "is set with tls", "leave one out")
	}
	if !prefixForm.MatchString(cfg.Prefix) {
		problems.Add("prefix", "is not up to 64 letters, digits and . _ : / -", "write it as in countersign:")
	}
	cfg.checkPassword(&problems)
	transport := cfg.TLS.config(host, &problems)
	return rueidis.ClientOption{
		InitAddress: []string{cfg.Address}, TLSConfig: transport,
		AuthCredentialsFn: func(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) { return cfg.credentials() },
	}, problems.Err()
}

func (cfg Config) checkPassword(problems *authz.Problems) {
	switch {
	case cfg.Username != "" && cfg.PasswordFile == "":
		problems.Add("password_file", "is missing, but username is set", "name the file that holds the password")
	default:
		if _, err := cfg.credentials(); err != nil {
			problems.Add("password_file", "cannot be read, is empty or is longer than 4096 bytes", "name a file that holds nothing but the password")
		}
	}
}

// credentials are those of now.
func (cfg Config) credentials() (rueidis.AuthCredentials, error) {
	credentials := rueidis.AuthCredentials{Username: cfg.Username}
	if cfg.PasswordFile == "" {
		return credentials, nil
	}
	info, err := os.Stat(cfg.PasswordFile)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxPassword {
		return rueidis.AuthCredentials{}, errPassword
	}
	data, err := os.ReadFile(cfg.PasswordFile)
	password := bytes.TrimRight(data, "\r\n")
	if err != nil || len(password) == 0 {
		return rueidis.AuthCredentials{}, errPassword
	}
	credentials.Password = string(password)
	return credentials, nil
}

// config is nil where there is no TLS.
func (t *TLS) config(host string, problems *authz.Problems) *tls.Config {
	if t == nil {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.CAFile != "" {
		config.RootCAs = x509.NewCertPool()
		data, err := os.ReadFile(t.CAFile)
		if err != nil || !config.RootCAs.AppendCertsFromPEM(data) {
			problems.Add("tls.ca_file", "holds no certificates that can be read", "name a file of certificates in PEM")
		}
	}
	if t.CertificateFile != "" || t.KeyFile != "" {
		certificate, err := tls.LoadX509KeyPair(t.CertificateFile, t.KeyFile)
		if err != nil {
			problems.Add("tls.certificate_file", "and key_file are no certificate with its key", "name two files in PEM that belong together")
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config
}

// loopback reports a host that is this machine, whatever a resolver says.
func loopback(host string) bool {
	address := net.ParseIP(host)
	return host == "localhost" || address != nil && address.IsLoopback()
}

func (cfg Config) prefix() string {
	if cfg.Prefix == "" {
		return defaultPrefix
	}
	return cfg.Prefix
}

func (cfg Config) clock() func() time.Time {
	if cfg.Now == nil {
		return time.Now
	}
	return cfg.Now
}
