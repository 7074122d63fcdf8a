package bank

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUpstreamTellsWhatItReceived(t *testing.T) {
	upstream := newUpstream()
	request := httptest.NewRequest("POST", "/domestic-payments?x=1", nil)
	request.Header.Set(storyHeader, "01-x")
	request.Header.Set("X-Countersign-Subject", "ann")
	request.Header.Set("Authorization", "Bearer x")
	answer := httptest.NewRecorder()
	upstream.ServeHTTP(answer, request)

	var got Received
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatalf("Unmarshal: %v", err)
	}
	want := Received{Method: "POST", Path: "/domestic-payments?x=1", Headers: map[string]string{"x-countersign-subject": "ann", "x-story": "01-x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	if answer.Code != 201 || upstream.Calls("01-x") != 1 || upstream.Calls("02-y") != 0 {
		t.Errorf("status %d, calls %d and %d", answer.Code, upstream.Calls("01-x"), upstream.Calls("02-y"))
	}
}
