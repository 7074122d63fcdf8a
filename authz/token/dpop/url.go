package dpop

import (
	"net"
	"net/netip"
	"strings"
)

// defaultPorts are left out of a normal form (RFC 3986 §6.2.3).
var defaultPorts = map[string]string{"https": "443", "http": "80"}

// normalURL is the normal form of an htu, less query and fragment (RFC 9449 §4.3): two
// that are equivalent by RFC 3986 §6.2.2 and §6.2.3 have the same. What is no absolute
// http or https URL in ASCII, or names a user, has none.
func normalURL(text string) (string, bool) {
	text, _, _ = strings.Cut(text, "#")
	text, _, _ = strings.Cut(text, "?")
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return "", false
	}
	authority, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		authority, path = rest[:slash], rest[slash:]
	}
	scheme = strings.ToLower(scheme)
	host, ok := normalAuthority(scheme, authority)
	if !ok {
		return "", false
	}
	path, ok = normalPath(path)
	return scheme + "://" + host + path, ok
}

// normalAuthority is a host in lower case, with its port where that is not the scheme's.
// User information has no normal form.
func normalAuthority(scheme, authority string) (string, bool) {
	usual, known := defaultPorts[scheme]
	host, port := authority, ""
	if colon := strings.LastIndexByte(authority, ':'); colon > strings.LastIndexByte(authority, ']') {
		host, port = authority[:colon], authority[colon+1:]
	}
	if !known || !isPort(port) {
		return "", false
	}
	if literal, bracketed := strings.CutPrefix(host, "["); bracketed {
		address, err := netip.ParseAddr(strings.TrimSuffix(literal, "]"))
		if err != nil || !address.Is6() || address.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", false
		}
		host = "[" + address.String() + "]"
	} else if host = strings.ToLower(host); !isHost(host) {
		return "", false
	}
	if port == "" || port == usual {
		return host, true
	}
	return host + ":" + port, true
}

// isHost reports a name made of letters, digits, hyphens, underscores and dots: an
// international one stands in its ASCII form (RFC 5890 §2.3.2.1).
func isHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return host != ""
}

func isPort(port string) bool {
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
	}
	return len(port) <= 5 && (port == "" || port[0] != '0')
}

// requestPath is the normal form of a request target's path. A query is no part of it.
func requestPath(target string) (string, bool) {
	path, _, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		return "", false
	}
	return normalPath(path)
}

// normalPath has percent-encodings in upper case, none of what needs none, and no dot
// segments; an empty path is "/". Nothing else is decoded: an encoded slash is no slash.
func normalPath(path string) (string, bool) {
	path, ok := normalEncoding(path)
	if !ok {
		return "", false
	}
	if path == "" {
		return "/", true
	}
	return withoutDots(path), true
}

func normalEncoding(path string) (string, bool) {
	var normal strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c <= ' ' || c >= 0x7f || c == '\\':
			return "", false
		case c != '%':
			normal.WriteByte(c)
			continue
		case i+2 >= len(path) || unhex(path[i+1]) < 0 || unhex(path[i+2]) < 0:
			return "", false
		}
		decoded := byte(unhex(path[i+1])<<4 | unhex(path[i+2]))
		if isAlphanumeric(decoded) || strings.IndexByte("-._~", decoded) >= 0 {
			normal.WriteByte(decoded)
		} else {
			normal.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return normal.String(), true
}

// withoutDots removes dot segments from a path that begins with "/" (RFC 3986 §5.2.4).
func withoutDots(path string) string {
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case ".", "..":
			if segment == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// unhex is the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

// normalOrigin is the normal form of a scheme, host and port with nothing behind, or
// says what is wrong with it.
func normalOrigin(origin string) (normal, fault string) {
	normal, ok := normalURL(origin)
	switch {
	case !ok || strings.ContainsAny(origin, "?#"):
		return "", "is no origin"
	case strings.Count(normal, "/") != 3 || !strings.HasSuffix(normal, "/"):
		return "", "has a path"
	}
	normal = strings.TrimSuffix(normal, "/")
	if host, plain := strings.CutPrefix(normal, "http://"); plain && !isLoopback(host) {
		return "", "is not https"
	}
	return normal, ""
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}
