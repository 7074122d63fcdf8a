package rego

// stackFrame makes a stack of 128 KiB. The standard policy takes about 100 of it, and
// what calls the policy has room in the rest.
const stackFrame = 64 << 10

// growStack makes room on the stack for an evaluation. OPA recurses deeply and each
// check has a goroutine of its own, whose small stack would double several times under
// the evaluation, copied each time with more on it. Go makes room for all of a
// function's frame as it is entered, whether or not it is used, so this grows the stack
// once, while there is little to copy. What needs more grows it further.
//
// use is false; it is there so that the compiler neither clears the frame on the way
// nor leaves it out.
//
//go:noinline
func growStack(use bool) byte {
	if !use {
		return 0
	}
	var frame [stackFrame]byte
	return last(frame[:])
}

//go:noinline
func last(frame []byte) byte { return frame[len(frame)-1] }
