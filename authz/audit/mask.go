package audit

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign-io/countersign/authz"
)

// names are what must not stand in a record, each with what stands there instead.
//
// Texts of our own hold no identifiers, but a detail or a waiver is a policy's text,
// and an operator who writes sprintf("account %s is not hers", [id]) means no harm.
type names map[string]string

// peopleOf are the names that a token tells.
func peopleOf(c authz.Caller, key *key) names {
	return names{
		string(c.Subject): key.subject(c.Issuer, c.Subject),
		string(c.Actor):   key.subject(c.Issuer, c.Actor),
		string(c.Consent): key.consent(c.Issuer, c.Consent),
	}
}

// namesOf are all names that the facts of a decision hold, if it has a text to look
// for them in. Identifiers win over where they stand: a path's parameter that names
// an object has the object's pseudonym.
func namesOf(d *authz.Decision, f *authz.Facts, key *key) names {
	if d.Detail == "" && len(d.Verdict.Refusals)+len(d.Verdict.Waived)+len(f.Lifted) == 0 {
		return nil
	}
	return allNames(d, f, key)
}

// allNames are all that a policy could have written down, whatever it did.
func allNames(d *authz.Decision, f *authz.Facts, key *key) names {
	c := d.Caller
	all := names{
		f.Request.Target:  "[path]",
		f.Target.Path:     "[path]",
		f.Request.Address: "[address]",
	}
	for _, value := range f.Match.Parameters {
		all[value] = "[parameter]"
	}
	for _, named := range f.Inspection.Objects {
		all[string(named.ID)] = key.object(named.Object)
	}
	if f.Consent != nil {
		for _, object := range f.Consent.Objects {
			all[string(object.ID)] = key.object(object)
		}
		all[string(f.Consent.ID)] = key.consent(c.Issuer, f.Consent.ID)
		all[string(f.Consent.Subject)] = key.subject(c.Issuer, f.Consent.Subject)
	}
	for name, pseudonym := range peopleOf(c, key) {
		all[name] = pseudonym
	}
	return all
}

// mask replaces every name that stands in text as a word of its own: so that an
// account "1" does not take the ones out of a number. The longest name wins.
func (n names) mask(text string) string {
	if !n.occurIn(text) {
		return text
	}
	var out strings.Builder
	for at := 0; at < len(text); {
		if name := n.longestAt(text, at); name != "" {
			out.WriteString(n[name])
			at += len(name)
			continue
		}
		_, width := utf8.DecodeRuneInString(text[at:])
		out.WriteString(text[at : at+width])
		at += width
	}
	return out.String()
}

// occurIn spares nearly every text the work of looking at each of its words.
func (n names) occurIn(text string) bool {
	for name := range n {
		if name != "" && strings.Contains(text, name) {
			return true
		}
	}
	return false
}

func (n names) longestAt(text string, at int) string {
	longest := ""
	if !boundary(text, at) {
		return longest
	}
	for name := range n {
		if len(name) > len(longest) && strings.HasPrefix(text[at:], name) && boundary(text, at+len(name)) && hasWord(name) {
			longest = name
		}
	}
	return longest
}

func (n names) maskAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = n.mask(text)
	}
	return out
}

// maskCodes leaves alone what is made of letters and "_" only: a client that calls
// its account "consent" must not be able to take that word out of a record.
func (n names) maskCodes(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == "" {
			out[i] = text
			continue
		}
		out[i] = n.mask(text)
	}
	return out
}

// boundary reports that no word goes on across at.
func boundary(text string, at int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:at])
	after, _ := utf8.DecodeRuneInString(text[at:])
	return !isWord(before) || !isWord(after)
}

// hasWord is false of what names nobody: "/" or "-" would take the punctuation out
// of a text.
func hasWord(name string) bool { return strings.ContainsFunc(name, isWord) }

func isWord(r rune) bool {
	return r == '_' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}
