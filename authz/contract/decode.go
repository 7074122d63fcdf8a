package contract

import (
	"fmt"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/countersign-io/countersign/authz"
)

// known reports whether at is a mapping, and faults its keys that are not known.
func (d *document) known(at place, names ...string) bool {
	if at.node.Kind != yaml.MappingNode {
		d.fault(at, "is not a mapping", "known are "+strings.Join(names, ", "))
		return false
	}
	for _, name := range at.names() {
		if !slices.Contains(names, name) {
			d.fault(at.member(name), "is not known", authz.Suggest(name, names))
		}
	}
	return true
}

// list is a list's items. An absent list has none; an empty one is a fault, since
// it could be meant as all and as nothing.
func (d *document) list(at place, what string) []place {
	items := at.items()
	if at.present() && len(items) == 0 {
		d.fault(at, "is not "+what, "fill it in, or leave the key out")
	}
	return items
}

// texts is a list of texts, nil where it is absent.
func (d *document) texts(at place) []string {
	var texts []string
	for _, item := range d.list(at, "a list of texts") {
		if text := d.text(item); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// text is a text, "" where it is absent or no text.
func (d *document) text(at place) string {
	if !at.present() {
		return ""
	}
	text := at.value()
	if at.node.ShortTag() != "!!str" || text == "" || strings.TrimSpace(text) != text {
		d.fault(at, "is not a text", "write it without blanks around it, and quote what YAML takes for a number or boolean")
		return ""
	}
	return text
}

func (d *document) boolean(at place) bool {
	if !at.present() {
		return false
	}
	if at.node.ShortTag() != "!!bool" {
		d.fault(at, "is not a boolean", "write true or false")
		return false
	}
	return strings.EqualFold(at.value(), "true")
}

// duration is a Go duration, 0 where it is absent.
func (d *document) duration(at place) time.Duration {
	if !at.present() {
		return 0
	}
	duration, err := time.ParseDuration(at.value())
	if err != nil || duration <= 0 {
		d.fault(at, fmt.Sprintf("%q is not a duration", at.value()), `write it as "1h", "15m" or "90s"`)
		return 0
	}
	return duration
}
