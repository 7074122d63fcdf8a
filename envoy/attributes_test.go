package envoy

import (
	"encoding/json"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAttributesAreInThePeersForm(t *testing.T) {
	udp := socket("192.0.2.7", 43402)
	udp.GetSocketAddress().Protocol = corev3.SocketAddress_UDP
	named := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "192.0.2.8", PortSpecifier: &corev3.SocketAddress_NamedPort{NamedPort: "https"},
	}}}
	pipe := &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/e.sock", Mode: 0o600}}}
	internal := &corev3.Address{Address: &corev3.Address_EnvoyInternalAddress{EnvoyInternalAddress: &corev3.EnvoyInternalAddress{
		AddressNameSpecifier: &corev3.EnvoyInternalAddress_ServerListenerName{ServerListenerName: "inner"},
	}}}
	type object = map[string]any
	http := func(h *authv3.AttributeContext_HttpRequest) *authv3.AttributeContext {
		return &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: h}}
	}
	inHTTP := func(want object) object { return object{"request": object{"http": want}} }
	source := func(a *corev3.Address) *authv3.AttributeContext {
		return &authv3.AttributeContext{Source: &authv3.AttributeContext_Peer{Address: a}}
	}
	inSource := func(want object) object { return object{"source": object{"address": want}} }

	for name, row := range map[string]struct {
		attributes *authv3.AttributeContext
		want       object
	}{
		"nothing": {&authv3.AttributeContext{}, object{}},
		"a peer": {
			&authv3.AttributeContext{Destination: &authv3.AttributeContext_Peer{
				Service: "edge", Labels: map[string]string{"app": "edge"},
				Principal: "spiffe://a", Certificate: "-----BEGIN%20CERTIFICATE-----",
			}},
			object{"destination": object{
				"service": "edge", "labels": object{"app": "edge"},
				"principal": "spiffe://a", "certificate": "-----BEGIN%20CERTIFICATE-----",
			}},
		},
		"TCP is the default and not there": {
			source(socket("192.0.2.7", 43402)),
			inSource(object{"socketAddress": object{"address": "192.0.2.7", "portValue": json.Number("43402")}}),
		},
		"an enumeration is a number": {
			source(udp),
			inSource(object{"socketAddress": object{"address": "192.0.2.7", "portValue": json.Number("43402"), "protocol": json.Number("1")}}),
		},
		"a port by name":            {source(named), inSource(object{"socketAddress": object{"address": "192.0.2.8", "namedPort": "https"}})},
		"a pipe":                    {source(pipe), inSource(object{"pipe": object{"path": "/run/e.sock", "mode": json.Number("384")}})},
		"Envoy's internal listener": {source(internal), inSource(object{"envoyInternalAddress": object{"serverListenerName": "inner"}})},
		"time is an object": {
			&authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Time: &timestamppb.Timestamp{Seconds: 1795242789, Nanos: 41693000}}},
			object{"request": object{"time": object{"seconds": json.Number("1795242789"), "nanos": json.Number("41693000")}}},
		},
		"time on the second": {
			&authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Time: &timestamppb.Timestamp{Seconds: 1795242789}}},
			object{"request": object{"time": object{"seconds": json.Number("1795242789")}}},
		},
		"strings of the request": {
			http(&authv3.AttributeContext_HttpRequest{Id: "1", Method: "GET", Path: "/a?b=c", Host: "h", Scheme: "https", Query: "q", Fragment: "f", Protocol: "HTTP/2", Body: "b"}),
			inHTTP(object{"id": "1", "method": "GET", "path": "/a?b=c", "host": "h", "scheme": "https", "query": "q", "fragment": "f", "protocol": "HTTP/2", "body": "b"}),
		},
		"an unknown size is a number":       {http(&authv3.AttributeContext_HttpRequest{Size: -1}), inHTTP(object{"size": json.Number("-1")})},
		"a size over 2^53 keeps its digits": {http(&authv3.AttributeContext_HttpRequest{Size: 9007199254740993}), inHTTP(object{"size": json.Number("9007199254740993")})},
		"headers with pseudo-headers": {
			http(&authv3.AttributeContext_HttpRequest{Headers: map[string]string{":path": "/a", "x-multi": "a,b"}}),
			inHTTP(object{"headers": object{":path": "/a", "x-multi": "a,b"}}),
		},
		"raw headers": {
			http(&authv3.AttributeContext_HttpRequest{HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				{Key: "a", RawValue: []byte("\xff")}, {Key: "b", Value: "c"}, {Key: "d"},
			}}}),
			inHTTP(object{"headerMap": object{"headers": []any{
				object{"key": "a", "rawValue": "/w=="}, object{"key": "b", "value": "c"}, object{"key": "d"},
			}}}),
		},
		"a raw body": {http(&authv3.AttributeContext_HttpRequest{RawBody: []byte("hello=1")}), inHTTP(object{"rawBody": "aGVsbG89MQ=="})},
		"context extensions": {
			&authv3.AttributeContext{ContextExtensions: map[string]string{"countersign.api": "accounts"}},
			object{"contextExtensions": object{"countersign.api": "accounts"}},
		},
		"an empty TLS session, as on plaintext": {&authv3.AttributeContext{TlsSession: &authv3.AttributeContext_TLSSession{}}, object{"tlsSession": object{}}},
		"a TLS session":                         {&authv3.AttributeContext{TlsSession: &authv3.AttributeContext_TLSSession{Sni: "h"}}, object{"tlsSession": object{"sni": "h"}}},
		"metadata is plain JSON": {
			&authv3.AttributeContext{MetadataContext: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"demo.ns": {Fields: map[string]*structpb.Value{
				"n": structpb.NewNumberValue(9007199254740993), "z": structpb.NewNullValue(), "b": structpb.NewBoolValue(true),
				"l": structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("x")}}),
			}}}}},
			object{"metadataContext": object{"filterMetadata": object{"demo.ns": object{
				"n": float64(9007199254740992), "z": nil, "b": true, "l": []any{"x"},
			}}}},
		},
		"typed metadata is not unpacked": {
			&authv3.AttributeContext{RouteMetadataContext: &corev3.Metadata{TypedFilterMetadata: map[string]*anypb.Any{
				"demo.route": {TypeUrl: "type.googleapis.com/x.Y", Value: []byte{1, 2}},
			}}},
			object{"routeMetadataContext": object{"typedFilterMetadata": object{
				"demo.route": object{"typeUrl": "type.googleapis.com/x.Y", "value": "AQI="},
			}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			check := &authv3.CheckRequest{Attributes: row.attributes}
			got := (&authorization{}).request(t.Context(), check).Attributes()
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Errorf("not JSON: %v", err)
			}
		})
	}
}
