package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/rueidis"

	"github.com/countersign-io/countersign/authz"
)

// Ready is nil where the server answers and is set up to keep what it is given; else
// it says what is wrong and what to do.
func (e *Engine) Ready(ctx context.Context) error {
	answer, err := within(ctx, func() (string, error) { return e.client.Do(ctx, e.client.B().Info().Build()).ToString() })
	if err != nil {
		return fault(err)
	}
	return judge(facts(answer))
}

// facts are the server's own (INFO), by name.
func facts(info string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			found[name] = value
		}
	}
	return found
}

// judge holds that the facts are there, so that a server which does not tell them is
// not taken for a good one.
func judge(facts map[string]string) error {
	switch {
	case facts["cluster_enabled"] == "1":
		return errors.New("redis: the server is part of a cluster, in which limits cannot be spent together; name a server by itself")
	case facts["role"] != "master":
		return errors.New("redis: the server is a replica, which may be behind and takes no writes; name its primary")
	case facts["maxmemory"] != "0" && facts["maxmemory_policy"] != "noeviction":
		return errors.New("redis: the server may evict what has not expired; set maxmemory-policy noeviction")
	}
	return nil
}

// unanswered reports an error of the connection, or of time. An answer that cannot be
// read, or a password that cannot, is none of these.
func unanswered(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, rueidis.ErrClosing) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// fault is an error of the client's without what a server puts into its own: the text
// may repeat what it was sent, the password among it.
func fault(err error) error {
	if err == nil {
		return nil
	}
	answered, ok := rueidis.IsRedisErr(err)
	switch {
	case !ok && unanswered(err):
		return fmt.Errorf("redis: %w: %w", authz.ErrNoAnswer, err)
	case !ok:
		return fmt.Errorf("redis: %w", err)
	}
	code, _, _ := strings.Cut(answered.Error(), " ")
	switch code {
	case "WRONGPASS", "NOAUTH":
		return fmt.Errorf("redis: the server does not take the name and password (%s); see replay.redis.username and password_file", code)
	case "NOPERM":
		return errors.New("redis: the server does not let this user do what is needed (NOPERM); allow SET, EVAL, INFO and what the scripts call, on keys under the prefix")
	case "OOM":
		return errors.New("redis: the server is full (OOM); give it more memory")
	case "READONLY":
		return errors.New("redis: the server is a replica (READONLY); name its primary")
	case "MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT":
		return fmt.Errorf("redis: the server is part of a cluster (%s); name a server by itself", code)
	case "LOADING":
		return errors.New("redis: the server is still loading its data (LOADING)")
	case "ERR":
		return errors.New("redis: the server refuses the command (ERR); Redis 6.2 or later is needed, with scripts allowed")
	}
	return errors.New("redis: the server answers with an error that is not known here")
}
