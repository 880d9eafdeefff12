// Names the program that `lab` builds from this module, so that go.sum covers it.

//go:build tools

package tools

import _ "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
