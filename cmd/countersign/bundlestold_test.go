package main

import (
	"strings"
	"testing"
	"time"
)

func (p *polled) awaitRefusal(t *testing.T, why string) {
	t.Helper()
	eventually(t, "it is refused: "+why, func() bool {
		refused := p.stands(t).Refused
		return refused != nil && strings.Contains(refused.Because, why)
	})
}

// TestRefusedBundlesStayTold holds that what is refused is told for as long as the server
// has it, whatever else is loaded meanwhile, and again where it comes back.
func TestRefusedBundlesStayTold(t *testing.T) {
	const unsafe = "package countersign.site\n\ndeny contains x if input.caller\n"
	b := startBundled(t)
	b.await(t, true)
	b.put(t, "bad", unsafe)
	b.awaitRefusal(t, "unsafe")
	b.put(t, "v1", openPolicy)
	eventually(t, "nothing is refused", func() bool { return b.stands(t).Refused == nil })
	b.put(t, "bad", unsafe)
	b.awaitRefusal(t, "unsafe")

	rewrite(t, b.file, "region: GB", "region: FR")
	b.settle(t)
	b.awaitRefusal(t, "unsafe")
	b.server.Put("authz.tar.gz", release(b.key, "v2", closedPolicy).Build(t)[:100])
	b.awaitRefusal(t, "bundle \"authz\"")
	rewrite(t, b.file, "region: FR", "region: GB")
	b.settle(t)
	b.awaitRefusal(t, "")
}

// TestABrokenConfigurationStaysTold holds that a good bundle does not hide it.
func TestABrokenConfigurationStaysTold(t *testing.T) {
	b := startBundled(t)
	b.await(t, true)
	rewrite(t, b.file, "region: GB", "regoin: GB")
	b.settle(t)
	b.awaitRefusal(t, "regoin")
	b.put(t, "v2", closedPolicy)
	b.awaitBundle(t, "v2")
	b.awaitRefusal(t, "regoin")
	b.wantMetrics(t, "countersign_reload_failed 1")
}

// TestKeptBundlesAreJudgedAgain starts with a configuration that what was kept does not
// fit, corrects it, and has it decide: the server has nothing new to send.
func TestKeptBundlesAreJudgedAgain(t *testing.T) {
	file, server, key := bundleFolder(t)
	put(t, server, key, "v1", closedPolicy)
	b, stop := serveBundles(t, file)
	b.awaitBundle(t, "v1")
	stop()
	rewrite(t, file, "decision: house.decision", "decision: house.decide")
	ctx, end := contextOf(t)
	again := &polled{polls: make(chan time.Time), file: file}
	again.served = start(ctx, t, file, world{polls: again.polls})
	defer func() { end(); again.wantEnd(t) }()
	again.awaitRefusal(t, "the policy has no rule")
	rewrite(t, file, "decision: house.decide", "decision: house.decision")
	again.settle(t)
	again.awaitBundle(t, "v1")
}
