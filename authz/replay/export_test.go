package replay

import "context"

// CatchUp reads the log of one who does not follow it once more.
func CatchUp(ctx context.Context, r *Revocations) { r.catchUp(ctx) }
