// Package envoy answers Envoy's ext_authz calls (envoy.service.auth.v3): it turns
// a CheckRequest into an authz.Request and an authz.Decision into a
// CheckResponse, and runs the gRPC server around them.
//
// It decides nothing. It answers every call that reaches Check with a response and
// never with a gRPC error, which would hand the decision to Envoy's
// failure_mode_allow. What fails before Check (a message over max_message_bytes,
// or one that is not protobuf) is gRPC's own error: set failure_mode_allow to
// false, as is its default, and status_on_error to 503.
//
// It is the only package that imports go-control-plane.
package envoy

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// ClientAddress says whose word the client's address is.
type ClientAddress string

const (
	// FromSource takes the peer of Envoy's connection. It is the default.
	FromSource ClientAddress = "source"
	// FromEnvoy takes x-envoy-external-address, which Envoy sets itself where its
	// listener has use_remote_address, and which is a client's own word elsewhere.
	FromEnvoy ClientAddress = "envoy"
)

// Config is the listener's part of the configuration. The zero Config listens on
// the loopback interface, with the defaults named below.
type Config struct {
	// Listen is "host:port" or "unix:/path"; default 127.0.0.1:9191.
	Listen string `yaml:"listen"`
	// ClientAddress is FromSource where empty.
	ClientAddress ClientAddress `yaml:"client_address"`
	// Realm is the protection space that challenges name (RFC 9110 §11.5). Where
	// empty it is the API that Envoy's context_extensions name, else "api".
	Realm string `yaml:"realm"`
	// Timeout bounds a check, whatever the call's own deadline; default 1s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxMessageBytes bounds a CheckRequest, body included; default 4 MiB. Over it
	// gRPC itself answers RESOURCE_EXHAUSTED, which Envoy takes for an error.
	MaxMessageBytes int `yaml:"max_message_bytes"`
	// MaxConcurrentChecks bounds the checks under way; default 512. Over it a check is
	// answered 503 at once, with authz.Overloaded, and the checker is not asked.
	MaxConcurrentChecks int `yaml:"max_concurrent_checks"`
}

const (
	defaultListen   = "127.0.0.1:9191"
	defaultTimeout  = time.Second
	defaultMessage  = 4 << 20
	defaultChecks   = 512
	maxTimeout      = time.Minute
	smallestMessage = 128 << 10
	largestMessage  = 64 << 20
	mostChecks      = 65536
	maxRealm        = 128
	// maxSocketPath is sockaddr_un's on Linux, less the closing NUL.
	maxSocketPath = 107
)

// Check returns all faults of the configuration as authz.Problems, or nil. It opens
// nothing.
func (c Config) Check() error {
	_, err := c.normal()
	return err
}

// normal is the config with its defaults filled in, or all of its faults.
func (c Config) normal() (Config, error) {
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.ClientAddress == "" {
		c.ClientAddress = FromSource
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMessage
	}
	if c.MaxConcurrentChecks == 0 {
		c.MaxConcurrentChecks = defaultChecks
	}
	return c, c.check()
}

func (c Config) check() error {
	var problems authz.Problems
	if what := listenFault(c.Listen); what != "" {
		problems.Add("listen", what, `write "host:port" or "unix:/path"`)
	}
	if c.ClientAddress != FromSource && c.ClientAddress != FromEnvoy {
		problems.Add("client_address", "not a known source of the client's address", `write "source" or "envoy"`)
	}
	if len(c.Realm) > maxRealm || c.Realm != quotable(c.Realm) {
		problems.Add("realm", "not a realm that can stand in a header",
			fmt.Sprintf(`write at most %d printable ASCII characters without " and \`, maxRealm))
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		problems.Add("timeout", "not between 0 and "+maxTimeout.String(), "write a little less than ext_authz's own timeout, such as 200ms")
	}
	if c.MaxMessageBytes < smallestMessage || c.MaxMessageBytes > largestMessage {
		problems.Add("max_message_bytes", fmt.Sprintf("not between %d and %d", smallestMessage, largestMessage),
			"write Envoy's max_request_bytes and some 100 KiB for the headers")
	}
	if c.MaxConcurrentChecks < 1 || c.MaxConcurrentChecks > mostChecks {
		problems.Add("max_concurrent_checks", fmt.Sprintf("not between 1 and %d", mostChecks),
			"leave it out, or write how many checks are decided at once before more are refused")
	}
	return problems.Err()
}

// listenFault says what is wrong with an address to listen on, or "".
func listenFault(listen string) string {
	if path, unix := strings.CutPrefix(listen, "unix:"); unix {
		switch {
		case path == "":
			return "the socket has no path"
		case len(path) > maxSocketPath:
			return fmt.Sprintf("the socket's path is over %d bytes", maxSocketPath)
		case strings.HasPrefix(path, "@"):
			// An abstract socket has no permissions: any local user could connect.
			return "abstract sockets are not served"
		}
		return ""
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "not an address to listen on"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "the port is not a number between 0 and 65535"
	}
	return ""
}
