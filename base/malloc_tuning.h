#ifndef KVASIR_BASE_MALLOC_TUNING_H_
#define KVASIR_BASE_MALLOC_TUNING_H_

namespace kvasir {

// Makes glibc's malloc keep what is freed, up to 1 GiB, and take blocks of up to 32 MiB
// from its heaps. By default it gives buffers of a megabyte back to the kernel again and
// again, and each comes back as page faults: that costs a process which moves large
// values through RocksDB a quarter of its rate (docs/disk_format.md). For a main
// function, before threads start; settings in the environment are overruled.
// Source: mallopt(3); 32 MiB is the largest M_MMAP_THRESHOLD that glibc takes.
void KeepFreedMemory();

}  // namespace kvasir

#endif  // KVASIR_BASE_MALLOC_TUNING_H_
