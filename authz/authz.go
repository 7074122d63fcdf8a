// Package authz is Countersign's vocabulary and the order in which a request
// is decided. It imports only the standard library.
//
// The map of the system, data flowing down:
//
//	envoy          CheckRequest -> Request
//	  authz        Pipeline: the order of steps, and this vocabulary
//	    contract     Request -> Operation, and the objects that the request names
//	    certificate  Request -> Certificate
//	    token        Request, Certificate -> Token and its Caller
//	    consent      Caller -> Consent
//	    ownership    Caller, Objects -> which of them are the caller's
//	  rego         Facts -> Verdict, and the Input that is kept
//	  audit        Record -> disk
//	envoy          Decision -> CheckResponse
//	  shadow       Trial -> how a policy that is only tried differs, after the answer
//
// Every step is an interface declared here, beside its only consumer, and takes
// the typed result of an earlier one, so that the order cannot be got wrong: an
// ownership lookup cannot be written before there is a verified caller.
//
// Deny is the zero value of everything: Decision, Verdict, Kind, Reason.
package authz
