package token

import (
	"fmt"

	"github.com/countersign-io/countersign/authz"
)

// maxDetails bounds the elements of authorization_details.
const maxDetails = 64

// details are the authorization_details of a token (RFC 9396 §9.1). One that cannot be
// read leaves the token good, and good for nothing: that is a 403, not a 401 (RFC 6750
// §3.1), so doubt says why, and there is no element then. It holds no value.
type details struct {
	all   []authz.Detail
	doubt string
}

func readDetails(payload map[string]any) details {
	claim, there := payload["authorization_details"]
	if !there {
		return details{}
	}
	list, ok := claim.([]any)
	switch {
	case !ok:
		return details{doubt: "authorization_details is no array"}
	case len(list) > maxDetails:
		return details{doubt: fmt.Sprintf("authorization_details has over %d elements", maxDetails)}
	}
	all := make([]authz.Detail, len(list))
	for i, element := range list {
		r := detailReader{}
		if all[i] = r.detail(element); r.fault != "" {
			return details{doubt: fmt.Sprintf("authorization_details[%d] %s", i, r.fault)}
		}
	}
	return details{all: all}
}

// detailReader reads one element and keeps the last fault.
type detailReader struct {
	object map[string]any
	fault  string
}

// detail is the element with the members that are common to all types (§2.2). The others
// are for whoever knows the type.
func (r *detailReader) detail(element any) authz.Detail {
	r.object, _ = element.(map[string]any)
	detail := authz.Detail{
		Type:       r.text("type"),
		Locations:  r.texts("locations"),
		Actions:    r.texts("actions"),
		DataTypes:  r.texts("datatypes"),
		Privileges: r.texts("privileges"),
		Identifier: r.text("identifier"),
		Object:     r.object,
	}
	if detail.Type == "" {
		r.fault = "is no object with a type"
	}
	return detail
}

// text is a string, or "" where it is absent.
func (r *detailReader) text(name string) string {
	value, there := r.object[name]
	text, ok := value.(string)
	if there && !ok {
		r.fault = "has " + name + " that is no string"
	}
	return text
}

// texts is an array of strings, or nil where it is absent.
func (r *detailReader) texts(name string) []string {
	value, there := r.object[name]
	if !there {
		return nil
	}
	list, ok := value.([]any)
	texts := make([]string, len(list))
	for i, each := range list {
		text, isText := each.(string)
		texts[i], ok = text, ok && isText
	}
	if !ok {
		r.fault = "has " + name + " that are no array of strings"
	}
	return texts
}
