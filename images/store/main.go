// The registry that the chart's own store is, CNCF Distribution, without what keeps blobs in anybody's cloud: files are all
// that it stores, so that it is small and quick to build.
package main

import (
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

func main() {
	// what went wrong is printed by the command itself
	if registry.RootCmd.Execute() != nil {
		os.Exit(1)
	}
}
