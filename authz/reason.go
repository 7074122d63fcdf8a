package authz

import (
	"errors"
	"net/http"
)

// Reason says why Countersign itself, not a policy, answered as it did. It is an
// error, wrapped with %w by the step that found it and read once, by ReasonOf.
//
// The list is closed and append-only: numbers and codes are in records on disk.
// The zero Reason is Internal.
type Reason uint8

// The reasons, by the step that gives them. What a request is answered, and the OAuth error code of the challenge, stands in reasons below.
const (
	Internal Reason = iota
	Granted

	RequestTooLarge
	PathNotCanonical
	QueryMalformed
	NoContract

	NoCredentials
	UnsupportedScheme
	MalformedCredentials
	RepeatedCredentials
	CertificateMalformed

	TokenMalformed
	TokenTooLarge
	TokenType
	TokenAlgorithm
	TokenIssuer
	TokenKey
	TokenSignature
	TokenClaims
	TokenAudience
	TokenExpired
	TokenNotYetValid
	KeysUnavailable

	BindingUnsupported
	CertificateMissing
	CertificateMismatch

	UnknownPath
	UnknownMethod

	CallerKind
	InsufficientScope

	ContentType
	BodyTruncated
	BodyMalformed
	ObjectMissing
	ObjectMalformed
	TooManyObjects

	ConsentUnavailable
	OwnershipUnavailable

	PolicyDenied
	StepUpRequired
	PolicyError

	DeadlineExceeded
	NotRecorded

	Overloaded

	ProofUnbound
	ProofDowngraded
	ProofMissing
	ProofMalformed
	ProofAlgorithm
	ProofSignature
	ProofMethod
	ProofURL
	ProofNonce
	ProofTime
	ProofToken
	ProofKey
	ProofReplayed
	ReplaysUnavailable

	LimitReached
	LimitsUnavailable
	CertificateRequired
	CertificateExpired
	CertificateRole
	CertificateConflict

	AuthorizationDetails
	TokenRevoked
	RevocationsUnavailable
	TokenUnbound
	TokenLifetime
	TokenAge
	TokenEnvironment
	ClientAddress
	PolicyUnavailable

	reasonCount
)

// OAuth error codes of the WWW-Authenticate challenge: RFC 6750 §3.1, RFC 9470 §3,
// RFC 9449 §7.1 and §9.
const (
	invalidRequest = "invalid_request"
	invalidToken   = "invalid_token"
	lacksScope     = "insufficient_scope"
	weakUser       = "insufficient_user_authentication"
	invalidProof   = "invalid_dpop_proof"
	useNonce       = "use_dpop_nonce"
	noOAuthError   = ""
)

var reasons = [reasonCount]struct {
	code   string
	status int
	oauth  string
	title  string
}{
	Internal: {"internal", http.StatusInternalServerError, noOAuthError, "The request could not be decided"},
	Granted:  {"granted", http.StatusOK, noOAuthError, "Granted"},

	RequestTooLarge:  {"request_too_large", http.StatusRequestEntityTooLarge, noOAuthError, "The request is too large"},
	PathNotCanonical: {"path_not_canonical", http.StatusBadRequest, noOAuthError, "The path is not in its canonical form"},
	QueryMalformed:   {"query_malformed", http.StatusBadRequest, noOAuthError, "The query is malformed"},
	NoContract:       {"no_contract", http.StatusForbidden, noOAuthError, "No API is served here"},

	NoCredentials:        {"no_credentials", http.StatusUnauthorized, noOAuthError, "An access token is required"},
	UnsupportedScheme:    {"unsupported_scheme", http.StatusUnauthorized, noOAuthError, "An access token is required"},
	MalformedCredentials: {"malformed_credentials", http.StatusBadRequest, invalidRequest, "The access token must be sent once, in a well-formed Authorization header"},
	RepeatedCredentials:  {"repeated_credentials", http.StatusBadRequest, invalidRequest, "Multiple methods used to include access token"}, // RFC 9449 §7.2
	CertificateMalformed: {"certificate_malformed", http.StatusUnauthorized, noOAuthError, "The client certificate cannot be read"},

	TokenMalformed:   {"token_malformed", http.StatusUnauthorized, invalidToken, "The access token is malformed"},
	TokenTooLarge:    {"token_too_large", http.StatusUnauthorized, invalidToken, "The access token is too large"},
	TokenType:        {"token_type", http.StatusUnauthorized, invalidToken, "The token is not an access token"},
	TokenAlgorithm:   {"token_algorithm", http.StatusUnauthorized, invalidToken, "The access token is signed with an algorithm that is not accepted"},
	TokenIssuer:      {"token_issuer", http.StatusUnauthorized, invalidToken, "The access token's issuer is not accepted"},
	TokenKey:         {"token_key", http.StatusUnauthorized, invalidToken, "The access token's key is not known"},
	TokenSignature:   {"token_signature", http.StatusUnauthorized, invalidToken, "The access token's signature is not valid"},
	TokenClaims:      {"token_claims", http.StatusUnauthorized, invalidToken, "The access token lacks a required claim"},
	TokenAudience:    {"token_audience", http.StatusUnauthorized, invalidToken, "The access token is for another audience"},
	TokenExpired:     {"token_expired", http.StatusUnauthorized, invalidToken, "The access token has expired"},
	TokenNotYetValid: {"token_not_yet_valid", http.StatusUnauthorized, invalidToken, "The access token is not valid yet"},
	KeysUnavailable:  {"keys_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},

	BindingUnsupported:  {"binding_unsupported", http.StatusUnauthorized, invalidToken, "The access token is bound in a way that is not accepted"},
	CertificateMissing:  {"certificate_missing", http.StatusUnauthorized, invalidToken, "The access token is bound to a client certificate, and none was presented"},
	CertificateMismatch: {"certificate_mismatch", http.StatusUnauthorized, invalidToken, "The access token is bound to another client certificate"},

	UnknownPath:   {"unknown_path", http.StatusNotFound, noOAuthError, "There is no such resource"},
	UnknownMethod: {"unknown_method", http.StatusMethodNotAllowed, noOAuthError, "The resource does not support this method"},

	CallerKind:        {"caller_kind", http.StatusForbidden, lacksScope, "The access token was issued to another kind of caller"},
	InsufficientScope: {"insufficient_scope", http.StatusForbidden, lacksScope, "The access token lacks a required scope"},

	ContentType:     {"content_type", http.StatusUnsupportedMediaType, noOAuthError, "The content type is not accepted"},
	BodyTruncated:   {"body_truncated", http.StatusRequestEntityTooLarge, noOAuthError, "The request body is too large, or its length is not told"},
	BodyMalformed:   {"body_malformed", http.StatusBadRequest, noOAuthError, "The request body is malformed"},
	ObjectMissing:   {"object_missing", http.StatusBadRequest, noOAuthError, "The request does not name what it is about"},
	ObjectMalformed: {"object_malformed", http.StatusBadRequest, noOAuthError, "The request names something malformed"},
	TooManyObjects:  {"too_many_objects", http.StatusBadRequest, noOAuthError, "The request names too many things"},

	ConsentUnavailable:   {"consent_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},
	OwnershipUnavailable: {"ownership_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},

	PolicyDenied:   {"policy_denied", http.StatusForbidden, noOAuthError, "Access is denied"},
	StepUpRequired: {"step_up", http.StatusUnauthorized, weakUser, "A stronger or more recent authentication is required"},
	PolicyError:    {"policy_error", http.StatusForbidden, noOAuthError, "Access is denied"},

	DeadlineExceeded: {"deadline_exceeded", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},
	NotRecorded:      {"not_recorded", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},

	Overloaded: {"overloaded", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},

	ProofUnbound:    {"proof_unbound", http.StatusUnauthorized, invalidToken, "The access token is not bound to a DPoP key"},
	ProofDowngraded: {"proof_downgraded", http.StatusUnauthorized, invalidToken, "The access token is bound to a DPoP key, and must be sent with the DPoP scheme"},
	ProofMissing:    {"proof_missing", http.StatusUnauthorized, invalidProof, "A DPoP proof is required"},
	ProofMalformed:  {"proof_malformed", http.StatusUnauthorized, invalidProof, "The DPoP proof is malformed"},
	ProofAlgorithm:  {"proof_algorithm", http.StatusUnauthorized, invalidProof, "The DPoP proof is signed with an algorithm that is not accepted"},
	ProofSignature:  {"proof_signature", http.StatusUnauthorized, invalidProof, "The DPoP proof's signature is not valid"},
	ProofMethod:     {"proof_method", http.StatusUnauthorized, invalidProof, "The DPoP proof is for another method"},
	ProofURL:        {"proof_url", http.StatusUnauthorized, invalidProof, "The DPoP proof is for another URL"},
	// The texts of the nonce and of the key are those of RFC 9449 §9 and §7.1.
	ProofNonce:         {"proof_nonce", http.StatusUnauthorized, useNonce, "Resource server requires nonce in DPoP proof"},
	ProofTime:          {"proof_time", http.StatusUnauthorized, invalidProof, "The DPoP proof is too old, or not valid yet"},
	ProofToken:         {"proof_token", http.StatusUnauthorized, invalidProof, "The DPoP proof is for another access token"},
	ProofKey:           {"proof_key", http.StatusUnauthorized, invalidToken, "Invalid DPoP key binding"},
	ProofReplayed:      {"proof_replayed", http.StatusUnauthorized, invalidProof, "The DPoP proof was used before"},
	ReplaysUnavailable: {"replays_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},

	LimitReached:        {"limit_reached", http.StatusTooManyRequests, noOAuthError, "Too many requests"},
	LimitsUnavailable:   {"limits_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},
	CertificateRequired: {"certificate_required", http.StatusUnauthorized, noOAuthError, "A client certificate is required"},
	CertificateExpired:  {"certificate_expired", http.StatusUnauthorized, noOAuthError, "The client certificate has expired, or is not valid yet"},
	// A 401 has a challenge that asks for another token: clients would throw away a
	// good one.
	CertificateRole:     {"certificate_role", http.StatusForbidden, noOAuthError, "The client certificate does not carry a required role"},
	CertificateConflict: {"certificate_conflict", http.StatusBadRequest, noOAuthError, "Two different client certificates were forwarded"},

	// RFC 9396 has no code of its own for resource servers.
	AuthorizationDetails:   {"authorization_details", http.StatusForbidden, lacksScope, "The access token's authorization details do not allow this"},
	TokenRevoked:           {"token_revoked", http.StatusUnauthorized, invalidToken, "The access token was revoked"},
	RevocationsUnavailable: {"revocations_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},
	TokenUnbound:           {"token_unbound", http.StatusUnauthorized, invalidToken, "The access token is bound to no certificate and no key"},
	TokenLifetime:          {"token_lifetime", http.StatusUnauthorized, invalidToken, "The access token was issued for too long"},
	TokenAge:               {"token_age", http.StatusUnauthorized, invalidToken, "The access token was issued too long ago"},
	TokenEnvironment:       {"token_environment", http.StatusUnauthorized, invalidToken, "The access token is for another environment"},
	// The token is good, from elsewhere: no challenge asks for another.
	ClientAddress:     {"client_address", http.StatusForbidden, noOAuthError, "The client may not call from this address"},
	PolicyUnavailable: {"policy_unavailable", http.StatusServiceUnavailable, noOAuthError, "The request cannot be decided at the moment"},
}

// Codes are those of the reasons, nil where there is none.
func Codes(reasons []Reason) []string {
	var codes []string
	for _, reason := range reasons {
		codes = append(codes, reason.String())
	}
	return codes
}

// ReasonNamed is the reason of a code; false where there is none, such as a policy's own.
func ReasonNamed(code string) (Reason, bool) {
	for r := range reasonCount {
		if reasons[r].code == code {
			return r, true
		}
	}
	return Internal, false
}

// Error is the reason's code, so that a Reason can be wrapped and found again.
func (r Reason) Error() string { return r.String() }

// String is the reason's code, [a-z_]{1,64}; an unknown number is "internal".
func (r Reason) String() string { return reasons[r.known()].code }

// Status is the HTTP status that the caller is answered.
func (r Reason) Status() int { return reasons[r.known()].status }

// OAuthError is the error code of the challenge (RFC 6750 §3.1, RFC 9470 §3, RFC
// 9449 §7.1), or "" where the answer carries no code: no credentials were sent, or the fault is
// not one of authorization.
func (r Reason) OAuthError() string { return reasons[r.known()].oauth }

// Title is a sentence for the caller. It names nothing of ours and nothing of
// the request's.
func (r Reason) Title() string { return reasons[r.known()].title }

// fault reports a reason that blames us, not the request.
func (r Reason) fault() bool {
	return r.Status() >= http.StatusInternalServerError || r == PolicyError
}

func (r Reason) known() Reason {
	if r >= reasonCount {
		return Internal
	}
	return r
}

// Replayed is ProofReplayed, with whose token it was: everything about the token and its
// proof was right but that they came before. That is for the record alone; whoever sent
// them again may be somebody else.
type Replayed struct {
	Caller Caller
	Err    error
}

// Error is the wrapped error's text, which names nobody.
func (r *Replayed) Error() string { return r.Err.Error() }

// Unwrap returns what wraps ProofReplayed.
func (r *Replayed) Unwrap() error { return r.Err }

// ReasonOf finds the Reason in err's chain. An error without one is Internal:
// it is a fault of ours, and its text is for the record, never for the caller.
func ReasonOf(err error) Reason {
	var reason Reason
	if errors.As(err, &reason) {
		return reason.known()
	}
	return Internal
}
