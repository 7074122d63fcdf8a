package bundles

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/plugins/rest"

	"github.com/countersign-io/countersign/authz"
)

// reportTime bounds a report to the status service.
const reportTime = 10 * time.Second

// reporter posts what became of bundles in the form of OPA's status plugin. Reports that
// come while one is under way are one, the last. A nil reporter posts nothing.
type reporter struct {
	client  rest.Client
	path    string
	id      string
	reports chan []byte
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// reporter is nil where no status is asked for.
func (p *plan) reporter() (*reporter, error) {
	if p.status == nil {
		return nil, nil
	}
	client, err := (&source{service: p.services[p.status.Service], keys: p.keys}).client()
	if err != nil {
		return nil, fmt.Errorf("bundles: status: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &reporter{client: client, path: path.Join("status", p.status.PartitionName), id: authz.NewDecisionID().String(),
		reports: make(chan []byte, 1), stop: stop}
	r.ended.Go(func() { r.run(ctx) })
	return r, nil
}

// report has all bundles' status posted. It does not wait.
func (r *reporter) report(all map[string]*bundle.Status) {
	if r == nil {
		return
	}
	body, err := json.Marshal(map[string]any{"labels": map[string]string{"id": r.id, "app": "countersign"}, "bundles": all})
	if err != nil {
		return // a status of OPA's is always JSON
	}
	select {
	case <-r.reports: // one that was not posted yet is older
	default:
	}
	select {
	case r.reports <- body:
	default:
	}
}

func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case body := <-r.reports:
			r.post(ctx, body)
		}
	}
}

// post tries once: the next report says all that this one does.
func (r *reporter) post(ctx context.Context, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	response, err := r.client.WithHeader("Content-Type", "application/json").WithBytes(body).Do(ctx, "POST", r.path)
	if err != nil {
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
}

func (r *reporter) close() {
	if r == nil {
		return
	}
	r.stop()
	r.ended.Wait()
}
