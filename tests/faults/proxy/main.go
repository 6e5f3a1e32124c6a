// A proxy between one client and an API server: it delays, refuses, cuts, and loses answers, as its rules say.
//
// PUT /rules at its control address replaces the rules, a JSON list, and ends all connections, so that watches begin anew under
// them; GET /hits lists the requests that a rule befell since.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"sync"
	"time"
)

// What befalls the requests that it means; the first rule that means one is taken.
type rule struct {
	Method string // of these methods, as an expression; empty means all
	Path   string // whose path and query this expression finds; empty means all
	Every  int    // of so many that it means one is befallen; 0 means each
	Times  int    // it ends after so many; 0 means never

	DelayMillis int    // it waits so long first
	Status      int    // it is answered so, and not sent on
	Reason      string // of such an answer
	RetryAfter  string // the header of such an answer
	Cut         bool   // the connection ends, and it is not sent on
	LoseAnswer  bool   // it is sent on and carried out, and then the connection ends

	method, path *regexp.Regexp
	seen, done   int
}

type proxy struct {
	lock        sync.Mutex
	rules       []*rule
	hits        []string
	connections map[net.Conn]bool
}

// Knows each connection for as long as there is one.
func (p *proxy) connected(connection net.Conn, state http.ConnState) {
	p.lock.Lock()
	defer p.lock.Unlock()
	switch state {
	case http.StateNew:
		p.connections[connection] = true
	case http.StateHijacked, http.StateClosed:
		delete(p.connections, connection)
	}
}

type losesAnswer struct{}

func (p *proxy) befalls(request *http.Request) *rule {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, rule := range p.rules {
		if !rule.method.MatchString(request.Method) || !rule.path.MatchString(request.URL.RequestURI()) {
			continue
		}
		rule.seen++
		if (rule.Every > 1 && rule.seen%rule.Every != 0) || (rule.Times > 0 && rule.done >= rule.Times) {
			continue
		}
		rule.done++
		p.hits = append(p.hits, fmt.Sprintf("%s %s %s", time.Now().Format("15:04:05.000"), request.Method, request.URL.RequestURI()))
		return rule
	}
	return nil
}

func (p *proxy) control(writer http.ResponseWriter, request *http.Request) {
	switch request.Method + " " + request.URL.Path {
	case "PUT /rules":
		var rules []*rule
		decoder := json.NewDecoder(request.Body)
		// a rule with a misspelt field would mean everything
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&rules); err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		for _, rule := range rules {
			var err error
			if rule.method, err = regexp.Compile("^(" + rule.Method + ")"); err == nil {
				rule.path, err = regexp.Compile(rule.Path)
			}
			if err != nil {
				http.Error(writer, err.Error(), http.StatusBadRequest)
				return
			}
		}
		p.lock.Lock()
		defer p.lock.Unlock()
		p.rules, p.hits = rules, nil
		for connection := range p.connections {
			_ = connection.Close()
		}
	case "GET /hits":
		p.lock.Lock()
		defer p.lock.Unlock()
		for _, hit := range p.hits {
			fmt.Fprintln(writer, hit)
		}
	default:
		http.NotFound(writer, request)
	}
}

// Takes a request on to `next`, or not, as the rules say.
func (p *proxy) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		rule := p.befalls(request)
		if rule == nil {
			next.ServeHTTP(writer, request)
			return
		}
		select {
		case <-time.After(time.Duration(rule.DelayMillis) * time.Millisecond):
		case <-request.Context().Done():
			return
		}
		switch {
		case rule.Cut:
			panic(http.ErrAbortHandler)
		case rule.LoseAnswer:
			next.ServeHTTP(writer, request.WithContext(context.WithValue(request.Context(), losesAnswer{}, true)))
		case rule.Status != 0:
			if rule.RetryAfter != "" {
				writer.Header().Set("Retry-After", rule.RetryAfter)
			}
			writer.Header().Set("Content-Type", "application/json")
			writer.WriteHeader(rule.Status)
			_ = json.NewEncoder(writer).Encode(map[string]any{
				"apiVersion": "v1", "kind": "Status", "status": "Failure",
				"reason": rule.Reason, "message": "an injected fault", "code": rule.Status,
			})
		default:
			next.ServeHTTP(writer, request)
		}
	})
}

func upstream(to, authority string) (*httputil.ReverseProxy, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	certificates, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(certificates) {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) { request.SetURL(target) },
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 64,
		},
		// what a watch tells goes on at once
		FlushInterval: -1,
		ModifyResponse: func(answer *http.Response) error {
			if answer.Request.Context().Value(losesAnswer{}) != nil {
				panic(http.ErrAbortHandler)
			}
			return nil
		},
	}, nil
}

func main() {
	to := flag.String("to", "", "the API server, as https://HOST:PORT")
	authority := flag.String("authority", "", "the file of the authority that signed its certificate")
	at := flag.String("at", "127.0.0.1:7443", "the address to listen at")
	certificate := flag.String("certificate", "", "the file of the certificate to serve with")
	key := flag.String("key", "", "the file of its key")
	control := flag.String("control", "127.0.0.1:7444", "the address for rules")
	flag.Parse()
	next, err := upstream(*to, *authority)
	if err != nil {
		log.Fatal(err)
	}
	proxy := &proxy{connections: map[net.Conn]bool{}}
	go func() { log.Fatal(http.ListenAndServe(*control, http.HandlerFunc(proxy.control))) }()
	server := &http.Server{Addr: *at, Handler: proxy.handler(next), ConnState: proxy.connected}
	log.Fatal(server.ListenAndServeTLS(*certificate, *key))
}
