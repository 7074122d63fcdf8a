package authz

import (
	"slices"
	"strings"
)

// ObserveAll is the name of all checks that can be observed.
const ObserveAll = "all"

// Unread is the id of an object that a request may name and that could not be read, where
// that failure is only observed. No request can name it: it is nobody's.
const Unread ObjectID = "\uFFFD"

// Observable reports a reason that an operation may only observe: one of Inspect's. What
// proves who calls, and what the contract grants, is always enforced, and so is whatever
// could not be decided.
func (r Reason) Observable() bool {
	switch r {
	case ContentType, BodyTruncated, BodyMalformed, ObjectMissing, ObjectMalformed, TooManyObjects:
		return true
	}
	return false
}

// Granting reports a code of the policy that is enforced always: that nothing grants, or
// that an operation is administrators' alone. To observe it would be to grant.
func Granting(code string) bool { return code == "nothing_grants" || code == "admin" }

// Observables are the codes of those that are Observable.
func Observables() []string {
	var codes []string
	for reason := range reasonCount {
		if reason.Observable() {
			codes = append(codes, reason.String())
		}
	}
	return codes
}

// Observes reports that a failure is told of the operation's requests and refuses none, by
// its code: that of an observable reason, or one of the policy's.
func (o *Operation) Observes(code string) bool {
	return !Granting(code) && (slices.Contains(o.Observe, code) || slices.Contains(o.Observe, ObserveAll))
}

// Enforced is the verdict without what is only observed, and the refusals that are. A
// denial of which every refusal is observed allows, and one that names none is observed
// only where all is. With that allow goes nothing that was the denial's answer: not its
// headers, status or body; what it limits is limited. Where something else refuses, the
// caller is told of that, and of nothing that is observed.
func (v Verdict) Enforced(observes func(code string) bool) (enforced Verdict, observed []string) {
	switch {
	case v.Allowed || len(v.Refusals) == 0 && !observes(ObserveAll):
		return v, nil
	case len(v.Refusals) == 0:
		return v.lifted(), []string{PolicyDenied.String()}
	}
	var standing string
	for _, refusal := range v.Refusals {
		code, _, _ := strings.Cut(refusal, ":")
		if observes(code) {
			observed = append(observed, refusal)
		} else if standing == "" {
			standing = code
		}
	}
	switch {
	case standing == "":
		return v.lifted(), observed
	case observes(v.Reason):
		v.Reason, v.StepUp, v.Reply = standing, nil, Reply{}
	case slices.Contains(observed, StepUpRequired.String()): // the challenge is that refusal's
		v.StepUp = nil
	}
	return v, observed
}

// lifted is the allow in place of a denial. Glass that was broken is told of it, too.
func (v Verdict) lifted() Verdict {
	return Verdict{Allowed: true, Detail: v.Detail, Waived: v.Waived, BreakGlass: v.BreakGlass, Limits: v.Limits}
}

// enforce takes out of the policy's verdict what the operation only observes, and keeps it
// for the record.
func (f *Facts) enforce(v Verdict) Verdict {
	v, f.Lifted = v.Enforced(f.Match.Operation.Observes)
	return v
}

// Observed are the codes of what failed and refused nothing, since the operation only
// observes it: the native ones, each once, then those of the policy, as Verdict.Refusals
// has them.
func (f *Facts) Observed() []string {
	var codes []string
	for _, err := range f.Inspection.Observed {
		if code := ReasonOf(err).String(); !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	return append(codes, f.Lifted...)
}

// observedDetail is what the record tells of a verdict: what was wrong with the request
// besides, and the policy's own words.
func (f *Facts) observedDetail(v *Verdict) string {
	var texts []string
	for _, err := range f.Inspection.Observed {
		texts = append(texts, "observed: "+err.Error())
	}
	if v.Detail != "" {
		texts = append(texts, v.Detail)
	}
	return strings.Join(texts, "; ")
}
