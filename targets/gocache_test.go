package targets

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// gocached starts a server that keeps what Go compiles, and sets GO_CACHE_SERVER. "gocached forgotten" has the tests'
// own caches forget what it keeps, as if another machine had compiled that; "gocached down" has it refuse everything,
// too.
func gocached(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs("gocached")
	if len(args) > 0 {
		ts.Check(os.WriteFile(filepath.Join(dir, args[0]), nil, 0o644))
		outputs, err := os.ReadDir(dir)
		ts.Check(err)
		for _, o := range outputs {
			if fi, err := o.Info(); err == nil && fi.Size() > 1000 { // smaller ones are others', too
				files, _ := filepath.Glob(goCache + "/go-*/" + o.Name()[:2] + "/" + o.Name() + "-d")
				for _, f := range files {
					ts.Check(os.Remove(f))
				}
			}
		}
		return
	}
	ts.Check(os.Mkdir(dir, 0o755))
	var mu sync.Mutex
	output := map[string]string{} // by action
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		path := strings.Split(r.URL.Path, "/")
		is := output[path[len(path)-1]]
		_, err := os.Stat(filepath.Join(dir, "down"))
		switch {
		case err == nil:
			http.Error(w, "no", http.StatusServiceUnavailable)
		case r.Method == http.MethodPut:
			output[path[1]] = path[2]
			os.WriteFile(filepath.Join(dir, path[2]), body, 0o644)
			w.WriteHeader(http.StatusNoContent)
		case is == "":
			http.NotFound(w, r)
		default:
			w.Header().Set("Go-Output-Id", is)
			http.ServeFile(w, r, filepath.Join(dir, is))
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("GO_CACHE_SERVER", srv.URL)
}
