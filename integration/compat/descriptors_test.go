package compat

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// descriptors writes those of com.book.BookService, as protoc would:
//
//	message Publisher { string Name = 1; }
//	message Book { string author = 1; int64 pages = 2; Publisher publisher = 3; }
//	service BookService {
//	  rpc AddBook(Book) returns (Book);
//	  rpc AddBooks(stream Book) returns (Book);
//	}
func descriptors(t *testing.T) string {
	t.Helper()
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{Name: &name, JsonName: &name, Number: &number, Type: &kind,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	}
	publisher := field("publisher", 3, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE)
	publisher.TypeName = proto.String(".com.book.Publisher")
	method := func(name string, streams bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, ClientStreaming: &streams,
			InputType: proto.String(".com.book.Book"), OutputType: proto.String(".com.book.Book")}
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("book.proto"), Package: proto.String("com.book"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Publisher"), Field: []*descriptorpb.FieldDescriptorProto{field("Name", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING)}},
			{Name: proto.String("Book"), Field: []*descriptorpb.FieldDescriptorProto{
				field("author", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING), field("pages", 2, descriptorpb.FieldDescriptorProto_TYPE_INT64), publisher,
			}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("BookService"),
			Method: []*descriptorpb.MethodDescriptorProto{method("AddBook", false), method("AddBooks", true)}}},
	}}}
	text, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "descriptors.pb")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
