package redis

import (
	"context"
	"errors"
	"testing"
)

// The client's own waiting may outlast ctx; ours must not.
func TestWithinIsLeftWhenTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	forever := make(chan struct{})
	defer close(forever)
	answer, err := within(ctx, func() (bool, error) {
		cancel()
		<-forever
		return true, nil
	})
	if answer || !errors.Is(err, context.Canceled) {
		t.Errorf("within() = %t, %v, want context.Canceled", answer, err)
	}
}
