package authz

import "testing"

// TestEnvironmentIsAFact holds that the policy is told which environment this is.
func TestEnvironmentIsAFact(t *testing.T) {
	f := allowing()
	p := f.pipeline()
	snapshot := *p.snapshot.Load()
	snapshot.Environment = "production"
	p.Load(&snapshot)
	p.Check(t.Context(), getAccount())
	if offers := f.offers(); len(offers) != 1 || offers[0].Facts.Environment != "production" {
		t.Errorf("records %+v, want one of production", offers)
	}
}
