package rego

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/open-policy-agent/opa/v1/ast"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/countersign-io/countersign/authz"
)

var (
	errGRPCPath    = fmt.Errorf("body: %w: the path is not /service/method", authz.BodyMalformed)
	errGRPCMessage = fmt.Errorf("body: %w: not a message of the method", authz.BodyMalformed)
)

// grpcMessages are the services whose requests can be read; nil reads none.
type grpcMessages struct {
	files *protoregistry.Files
	types *dynamicpb.Types
}

// readDescriptors reads a FileDescriptorSet; "" is none.
func readDescriptors(file string) (*grpcMessages, []byte, error) {
	if file == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, authz.Problems{{Key: "descriptors", What: err.Error(), Fix: "name a FileDescriptorSet, which protoc --include_imports --descriptor_set_out writes"}}
	}
	var set descriptorpb.FileDescriptorSet
	err = proto.Unmarshal(text, &set)
	var files *protoregistry.Files
	if err == nil {
		files, err = protodesc.NewFiles(&set)
	}
	if err != nil || files.NumFiles() == 0 {
		return nil, nil, authz.Problems{{Key: "descriptors", What: "is no whole FileDescriptorSet", Fix: "write it with protoc --include_imports --descriptor_set_out"}}
	}
	return &grpcMessages{files: files, types: dynamicpb.NewTypes(files)}, text, nil
}

// gRPC's frame: a flag that says that the message is compressed, its length, the message.
const (
	frameFlag   = 1
	frameHeader = 5
)

// maxMessage bounds a message: of packed numbers each byte becomes a value.
const maxMessage = 1 << 20

// body is the first message of a call, as protojson writes it. What cannot be known
// without the descriptors, or is compressed, is null.
func (g *grpcMessages) body(raw []byte, path []string) (peerBody, error) {
	if g == nil || len(raw) == 0 {
		return peerBody{}, nil
	}
	if len(path) != 2 {
		return peerBody{}, errGRPCPath
	}
	if len(raw) < frameHeader {
		return peerBody{}, errGRPCMessage
	}
	length := binary.BigEndian.Uint32(raw[frameFlag:frameHeader])
	message := raw[frameHeader:]
	switch {
	case raw[0] != 0:
		return peerBody{}, nil
	case uint64(length) > uint64(len(message)):
		return peerBody{truncated: true}, nil
	case length > maxMessage:
		return peerBody{}, errBodyValues
	}
	method := g.method(path[0], path[1])
	if method == nil {
		return peerBody{}, nil
	}
	value, err := g.decode(method, message[:length])
	return peerBody{value: value}, err
}

// method is nil where it is not known, and where clients stream: there would be more
// messages than the one that is seen.
func (g *grpcMessages) method(service, name string) protoreflect.MethodDescriptor {
	found, err := g.files.FindDescriptorByName(protoreflect.FullName(service))
	described, ok := found.(protoreflect.ServiceDescriptor)
	if err != nil || !ok {
		return nil
	}
	method := described.Methods().ByName(protoreflect.Name(name))
	if method == nil || method.IsStreamingClient() {
		return nil
	}
	return method
}

func (g *grpcMessages) decode(method protoreflect.MethodDescriptor, text []byte) (ast.Value, error) {
	message := dynamicpb.NewMessage(method.Input())
	if (proto.UnmarshalOptions{Resolver: g.types}).Unmarshal(text, message) != nil {
		return nil, errGRPCMessage
	}
	written, err := protojson.MarshalOptions{Resolver: g.types}.Marshal(message)
	if err != nil {
		return nil, errGRPCMessage
	}
	return jsonBody(written)
}
