package authz

// Answers are what every answer of an API has, whatever is decided. The zero Answers
// add nothing.
type Answers struct {
	// Metadata is the URL at which clients are told of the API as a protected resource
	// (RFC 9728 §3), or "".
	Metadata string
	// Interactions gives every request an interaction id (FAPI 1.0 Baseline §6.2.1).
	Interactions bool
	// Browsers has the answers name the headers that scripts of other origins may read,
	// which they can where Envoy lets them call.
	Browsers bool
}

// AnswerTerms tells what the answers of APIs have.
type AnswerTerms interface {
	// Answers are those of the API that the request is for, as far as it can be told
	// before the path is read; zero where it is for none. It never blocks.
	Answers(request *Request) Answers
}

// InteractionHeader carries the interaction id, by which a client's log, ours and the
// upstream's tell of the same request.
const InteractionHeader = "x-fapi-interaction-id"

// settleAnswers settles what the answer to a request has, whatever is decided.
func (s *Snapshot) settleAnswers(f *Facts) {
	if s.Answers == nil {
		return
	}
	if f.Answers = s.Answers.Answers(f.Request); f.Answers.Interactions {
		f.InteractionID = interactionID(f.Request.Headers)
	}
}

// interactionID is the client's, or a fresh one where the client sent none, several, or
// what is no UUID: it goes into logs and answers, so that nothing else may.
func interactionID(headers Headers) string {
	if sent, once := headers.Value(InteractionHeader); once {
		if _, err := ParseDecisionID(sent); err == nil {
			return sent
		}
	}
	return NewDecisionID().String()
}

// toldAnswers are those that the decision is told with. Before the caller is known, they
// must be the same for all operations: they would tell which of them there are.
func (f *Facts) toldAnswers() Answers {
	answers := f.Answers
	if f.Token != nil && f.Match.Operation != nil {
		answers.Browsers = f.Match.Operation.Browsers
	}
	return answers
}
