package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/countersign-io/countersign/authz/replay/redis"
	"github.com/countersign-io/countersign/authz/replay/redis/redistest"
)

// authority makes certificates of a test's own.
type authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{folder: t.TempDir()}
	a.certificate, a.key = a.issue(t, "ca", nil)
	return a
}

// issue writes NAME.crt and NAME.key, signed by the authority, or by themselves where
// there is none yet.
func (a *authority) issue(t *testing.T, name string, addresses []net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: addresses, BasicConstraintsValid: true, IsCA: a.certificate == nil, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer, template.KeyUsage = template, key, x509.KeyUsageCertSign
	}
	der, signed := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	private, marshalled := x509.MarshalPKCS8PrivateKey(key)
	certificate, parsed := x509.ParseCertificate(der)
	if err := errors.Join(err, signed, marshalled, parsed); err != nil {
		t.Fatal(err)
	}
	write(t, a.file(name+".crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, a.file(name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return certificate, key
}

func (a *authority) file(name string) string { return filepath.Join(a.folder, name) }

// front puts TLS, with client certificates, before a server: not every redis-server is
// built with it.
func (a *authority) front(t *testing.T, server string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.file("server.crt"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AddCert(a.certificate)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authorities})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { join(connection, server) })
		}
	})
	return listener.Addr().String()
}

// join hands on what comes to a server, and back, until either ends it.
func join(connection net.Conn, server string) {
	defer connection.Close()
	behind, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer behind.Close()
	go func() {
		_, _ = io.Copy(behind, connection) // its end is the other's
		behind.Close()
	}()
	_, _ = io.Copy(connection, behind)
}

func TestTLS(t *testing.T) {
	bank, other := newAuthority(t), newAuthority(t)
	bank.issue(t, "server", []net.IP{net.IPv4(127, 0, 0, 1)})
	bank.issue(t, "client", nil)
	address := bank.front(t, redistest.Start(t).Address)
	bank.issue(t, "server", []net.IP{net.IPv4(192, 0, 2, 1)})
	misnamed := bank.front(t, redistest.Start(t).Address)
	client := func(authority string) *redis.TLS {
		return &redis.TLS{CAFile: authority, CertificateFile: bank.file("client.crt"), KeyFile: bank.file("client.key")}
	}
	tests := []struct {
		name    string
		address string
		tls     *redis.TLS
		ok      bool
	}{
		{"both known to each other", address, client(bank.file("ca.crt")), true},
		{"a server of another authority", address, client(other.file("ca.crt")), false},
		{"a server that the system does not know", address, client(""), false},
		{"a server of another name", misnamed, client(bank.file("ca.crt")), false},
		{"a client without a certificate", address, &redis.TLS{CAFile: bank.file("ca.crt")}, false},
		{"no TLS", address, nil, false},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			engine := open(t, redis.Config{Address: test.address, TLS: test.tls})
			fresh, err := engine.Fresh(t.Context(), [32]byte{byte(i)}, time.Now().Add(time.Hour))
			if (err == nil) != test.ok || fresh != test.ok {
				t.Errorf("Fresh() = %t, %v, want ok %t", fresh, err, test.ok)
			}
		})
	}
}
