package envoy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/countersign-io/countersign/authz"
)

// quota tells the caller what is left of its limits, in the fields RateLimit-Policy and
// RateLimit (draft-ietf-httpapi-ratelimit-headers), and none where it has no limits.
func quota(d *authz.Decision) []authz.Header {
	var policies, left []string
	for _, allowance := range d.Spending.Left {
		limit := allowance.Limit
		policies = append(policies, fmt.Sprintf(`"%s";q=%d;w=%d`, limit.Name, limit.Max, seconds(limit.Window)))
		left = append(left, fmt.Sprintf(`"%s";r=%d;t=%d`, limit.Name, allowance.Remaining, seconds(allowance.Reset)))
	}
	if len(left) == 0 {
		return nil
	}
	return []authz.Header{{Name: "ratelimit-policy", Value: strings.Join(policies, ", ")}, {Name: "ratelimit", Value: strings.Join(left, ", ")}}
}

// retryAfter is when all limits that refused are free again (RFC 9110 §10.2.3).
func retryAfter(d *authz.Decision) string {
	return strconv.FormatInt(seconds(d.Spending.RetryAfter()), 10)
}

// seconds are those of a duration, rounded up, and one at least.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}
