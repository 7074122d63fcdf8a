package rego

// Explanation is what the rules of a policy said of one input. It holds values of the
// input, which name people and objects; no credential stands in it.
type Explanation struct {
	// Decision is the rule that decides, such as "data.countersign.standard.decision".
	Decision string `json:"decision"`
	// Refusals are what the decision refuses on, the one that the caller is told first.
	Refusals []Refusal `json:"refusals,omitempty"`
	// Rules are those that were looked at, but functions, in the order of files and lines.
	Rules []ExplainedRule `json:"rules,omitempty"`
	// Stopped is the condition at which an evaluation ended that came to no decision.
	Stopped *Condition `json:"stopped,omitempty"`
	// Incomplete is why not all rules were looked at, or "".
	Incomplete string `json:"incomplete,omitempty"`
}

// Refusal is a reason to refuse, and the object that it is about, such as
// "account:22289", or "".
type Refusal struct {
	Code string `json:"code"`
	For  string `json:"for,omitempty"`
}

// Role is what a rule is there for.
type Role string

// The roles; rules without one are what others rest upon.
const (
	Decides   Role = "decides"
	Denies    Role = "denies"
	Waives    Role = "waives"
	Grants    Role = "grants"
	Satisfies Role = "satisfies"
)

// ExplainedRule is what one rule said.
type ExplainedRule struct {
	// Name is the rule's, with its package: "data.countersign.site.deny".
	Name string `json:"name"`
	Role Role   `json:"role,omitempty"`
	// Title is METADATA's, and Reason its reason or the one that the rule gives, or "".
	Title  string `json:"title,omitempty"`
	Reason string `json:"reason,omitempty"`
	File   string `json:"file"`
	Line   int    `json:"line"`
	// Held is whether its conditions did, for one value at least.
	Held bool `json:"held"`
	// Default is of a rule that speaks where no other does.
	Default bool `json:"default,omitempty"`
	// Values are what it gave, as Rego writes it: elements of a set, or one value.
	Values []string `json:"values,omitempty"`
	// Conditions are those of the first value, where it held.
	Conditions []Condition `json:"conditions,omitempty"`
	// Failures are the first conditions that failed, one for each value that it might have
	// given as far as that was known.
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is the first condition that failed, in the branch that came furthest.
type Failure struct {
	// For is the element of a set that the rule would have given, or "".
	For string `json:"for,omitempty"`
	// Further is how many conditions held before.
	Further int `json:"further"`
	// Tried is how many branches came so far and failed there: elements of a list, say.
	Tried int `json:"tried,omitempty"`
	Condition
}

// Condition is one line of a rule, and what it saw.
type Condition struct {
	File string `json:"file"`
	Line int    `json:"line"`
	// Text is as it was written, in one line.
	Text string `json:"text"`
	Saw  []Seen `json:"saw,omitempty"`
	// Because are what it rests upon, where that says more.
	Because []Because `json:"because,omitempty"`
}

// Seen is what a reference or a variable was.
type Seen struct {
	Name string `json:"name"`
	// Value is as Rego writes it, cut where it is long; "" where it is absent.
	Value  string `json:"value,omitempty"`
	Absent bool   `json:"absent,omitempty"`
}

// Because is a rule that a condition rests upon, and did not hold, or held where it must
// not; or, without a name, a condition inside of one.
type Because struct {
	Name  string `json:"name,omitempty"`
	Title string `json:"title,omitempty"`
	// For is the element that a set lacks, as the rule would have given it, or "".
	For  string `json:"for,omitempty"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Held bool   `json:"held,omitempty"`
	// Failed is nil where it held.
	Failed *Condition `json:"failed,omitempty"`
}
