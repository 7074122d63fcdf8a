package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/countersign-io/countersign/examples/openbanking/bank"
)

// The versions of HTTP, as TLS names them (RFC 7301).
const (
	overHTTP1 = "http/1.1"
	overHTTP2 = "h2"
)

// errHungUp is a connection or stream that the server ended without an answer.
var errHungUp = errors.New("no answer")

// wireRequest is a request that goes over the wire byte by byte, whatever it is: no client does.
type wireRequest struct {
	method, target string
	fields         []hpack.HeaderField
	body           string
}

// send sends a story's GET with its target as it is. The answer to one that Envoy hangs up
// on is the zero answer.
func (w way) send(ctx context.Context, stack *bank.Stack, story bank.Story) (answer, error) {
	sent := wireRequest{method: http.MethodGet, target: story.Ask.Path}
	story.Ask.Path = "/"
	request, client, err := story.HTTP(ctx, stack)
	if err != nil {
		return answer{}, err
	}
	for name := range request.Header {
		sent.fields = append(sent.fields, hpack.HeaderField{Name: strings.ToLower(name), Value: request.Header.Get(name)})
	}
	response, err := w.exchange(ctx, stack, client, sent)
	if errors.Is(err, errHungUp) {
		return answer{}, nil
	}
	if err != nil {
		return answer{}, err
	}
	return read(response)
}

// exchange sends one request on a connection of its own, which has the client's
// certificate. The answer's body is read already.
func (w way) exchange(ctx context.Context, stack *bank.Stack, client *http.Client, sent wireRequest) (*http.Response, error) {
	transport := client.Transport.(*http.Transport)
	plain, err := transport.DialContext(ctx, "tcp", stack.Address(w.listener))
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	defer context.AfterFunc(ctx, func() { plain.Close() })()
	configuration := transport.TLSClientConfig.Clone()
	configuration.NextProtos = []string{w.protocol}
	connection := tls.Client(plain, configuration)
	if w.protocol == overHTTP2 {
		return exchangeHTTP2(connection, sent)
	}
	response, err := exchangeHTTP1(connection, sent)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, err
}

func exchangeHTTP1(connection net.Conn, sent wireRequest) (*http.Response, error) {
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", sent.method, sent.target)
	for _, field := range sent.fields {
		fmt.Fprintf(&request, "%s: %s\r\n", field.Name, field.Value)
	}
	request.WriteString("\r\n" + sent.body)
	if _, err := connection.Write(request.Bytes()); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(connection), nil)
}

// exchangeHTTP2 sends one request on a connection (RFC 9113 §3.4, §8.3.1).
func exchangeHTTP2(connection net.Conn, sent wireRequest) (*http.Response, error) {
	var block bytes.Buffer
	fields := append([]hpack.HeaderField{
		{Name: ":method", Value: sent.method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "localhost"}, {Name: ":path", Value: sent.target},
	}, sent.fields...)
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		if err := encoder.WriteField(field); err != nil {
			return nil, err
		}
	}
	if _, err := io.WriteString(connection, http2.ClientPreface); err != nil {
		return nil, err
	}
	framer := http2.NewFramer(connection, connection)
	if err := framer.WriteSettings(); err != nil {
		return nil, err
	}
	err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: sent.body == "", EndHeaders: true})
	if err == nil && sent.body != "" {
		err = framer.WriteData(1, true, []byte(sent.body))
	}
	if err != nil {
		return nil, err
	}
	return readHTTP2(framer)
}

// readHTTP2 reads the answer of the connection's only stream.
func readHTTP2(framer *http2.Framer) (*http.Response, error) {
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	response, body := &http.Response{Header: http.Header{}}, &bytes.Buffer{}
	response.Body = io.NopCloser(body)
	for {
		frame, err := framer.ReadFrame()
		if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
			return nil, errHungUp
		}
		if err != nil {
			return nil, err
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if response.StatusCode, err = strconv.Atoi(frame.PseudoValue("status")); err != nil {
				return nil, err
			}
			for _, field := range frame.RegularFields() {
				response.Header.Add(field.Name, field.Value)
			}
		case *http2.DataFrame:
			body.Write(frame.Data())
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return nil, errHungUp
		}
		if ending, ok := frame.(interface{ StreamEnded() bool }); ok && ending.StreamEnded() {
			return response, nil
		}
	}
}
