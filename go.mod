module github.com/govmm/govmm

go 1.26.8
