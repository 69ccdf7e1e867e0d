# SPDX-License-Identifier: MIT
# memtrace: make help lists the targets.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
CXX ?= g++
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
V ?= 0

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

ARCH := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)

LIBS := libbpf libdw libelf
WARN := -Wall -Wextra -Werror
OPT ?= -O2 -g
SANITIZE ?=
CPPFLAGS += -D_GNU_SOURCE -DMEMTRACE_VERSION='"$(VERSION)"' -Iinclude -Isrc -I$(BUILD)
CFLAGS += -std=gnu11 $(WARN) $(OPT) -fno-omit-frame-pointer -fvisibility=hidden -MMD -MP
LDLIBS := $(shell $(PKG_CONFIG) --libs $(LIBS) 2>/dev/null || echo -lbpf -ldw -lelf) -liberty -lpthread -lm
LDFLAGS += $(SANITIZE)
CFLAGS += $(SANITIZE)

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror \
	-Wno-unused-parameter -Ivmlinux -Iinclude -Ibpf $(if $(MULTIARCH),-I/usr/include/$(MULTIARCH))

PRELOAD_SRC := $(wildcard src/preload/*.c)
LIB_SRC := $(filter-out $(wildcard src/cli/*.c) $(PRELOAD_SRC),$(wildcard src/*/*.c))
CLI_SRC := $(wildcard src/cli/*.c)
UNIT_SRC := $(wildcard tests/unit/*.c)
SYSTEM_SRC := $(wildcard tests/system/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
PRELOAD_OBJ := $(PRELOAD_SRC:src/%.c=$(BUILD)/%.o)
# what unit tests call directly, built like everything else
PRELOAD_PURE := $(patsubst %,$(BUILD)/src/preload/%.o,sample filter lookup paths)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/%.o)
UNIT_OBJ := $(UNIT_SRC:%.c=$(BUILD)/%.o)
SYSTEM_OBJ := $(SYSTEM_SRC:%.c=$(BUILD)/%.o)
BENCH_PARTS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard bench/parts/*.c))
SKEL := $(BUILD)/memtrace.skel.h

# Debian's packages; slashes between the names one package has in different releases.
APT_BUILD := gcc g++ make clang bpftool libbpf-dev libelf-dev libdw-dev libcapstone-dev \
	libiberty-dev zlib1g-dev pkg-config
APT_DEMO := sqlite3 python3
APT_TEST := libcriterion-dev libjansson-dev valgrind perl git redis-server nginx-light musl-tools \
	ripgrep gdb libjemalloc2 xz-utils dwz libtcmalloc-minimal4/libtcmalloc-minimal4t64 libmimalloc2.0/libmimalloc3

.DEFAULT_GOAL := all

## all: build memtrace, its libraries and libmemtrace-preload.so into build/
all: $(BUILD)/memtrace $(BUILD)/libmemtrace.a $(BUILD)/libmemtrace.so $(BUILD)/libmemtrace-preload.so

## demo: install what is missing (apt), build, and trace real programs against a 250 MB limit
demo: deps
	$(Q)$(MAKE) --no-print-directory all $(BUILD)/tests/targets/leaky
	$(Q)MEMTRACE=$(BUILD)/memtrace TARGETS=$(BUILD)/tests/targets bash tests/demo.sh

## check: install what is missing (apt), build, and run every test
check: deps-test
	$(Q)$(MAKE) --no-print-directory test

## test: run every test with what is installed
test: all unit system

## unit: run the tests that need no root
unit: $(BUILD)/tests/unit-tests $(BUILD)/libmemtrace.so $(BUILD)/libmemtrace-preload.so targets
	$(say) TEST unit
	$(Q)$(BUILD)/tests/unit-tests $(TEST_ARGS)

## system: run the tests that trace real programs (root)
system: $(BUILD)/memtrace $(BUILD)/libmemtrace-preload.so $(BUILD)/tests/system-tests targets
	$(say) TEST system
	$(Q)$(SUDO) $(BUILD)/tests/system-tests --jobs 1 $(TEST_ARGS)

## bench: measure cost, against the empty-probe floor and against other tools (root)
bench: all bench-programs
	$(Q)$(SUDO) bash bench/run.sh $(BUILD)

## bench-compare: only the comparison with other tools, on whole programs; BENCH_ARGS chooses (root)
bench-compare: all bench-programs
	$(Q)$(SUDO) $(BUILD)/bench/compare $(BENCH_ARGS) $(BUILD)

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

## deps: install the packages that building and the demo need (apt), where they are missing
deps:
	$(Q)bash tests/packages.sh $(APT_BUILD) $(APT_DEMO)
## deps-test: install those that the tests need as well
deps-test:
	$(Q)bash tests/packages.sh $(APT_BUILD) $(APT_DEMO) $(APT_TEST)

$(BUILD)/memtrace.bpf.o: bpf/memtrace.bpf.c $(wildcard bpf/*.h) $(wildcard include/memtrace/*.h) vmlinux/vmlinux.h
	$(say) BPF $@
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@

$(SKEL): $(BUILD)/memtrace.bpf.o
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name memtrace_bpf > $@.tmp && mv $@.tmp $@

$(BUILD)/src/%.o: src/%.c | $(SKEL)
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -c $< -o $@

$(BUILD)/tests/%.o: tests/%.c | $(SKEL)
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Isrc/cli -Ibench -DTESTS_DIR='"$(CURDIR)/tests"' -DTARGETS_DIR='"$(CURDIR)/$(BUILD)/tests/targets"' \
		-DMEMTRACE_BIN='"$(CURDIR)/$(BUILD)/memtrace"' -DMEMTRACE_LIB='"$(CURDIR)/$(BUILD)/libmemtrace.so"' \
		-DPRELOAD_LIB='"$(CURDIR)/$(BUILD)/libmemtrace-preload.so"' \
		$(CFLAGS) -c $< -o $@

$(BUILD)/libmemtrace.a: $(LIB_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libmemtrace.so: $(LIB_OBJ)
	$(say) LINK $@
	$(Q)$(CC) -shared -Wl,-soname,libmemtrace.so.0 -Wl,--exclude-libs,libiberty.a $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Loaded into every program, whatever libc it has: no library is linked to it, none of the compiler's help
# is asked for, and it is optimized always (its functions jump where others call). What the kernel
# makes of a probed site pushes on the stack: no red zone.
PRELOAD_CFLAGS := -std=gnu11 $(WARN) -O2 -g -fPIC -fvisibility=hidden -ffreestanding -fno-stack-protector \
	-fno-omit-frame-pointer -fasynchronous-unwind-tables -ftls-model=initial-exec -MMD -MP \
	$(if $(filter x86,$(ARCH)),-mno-red-zone)
PRELOAD_LDFLAGS := -shared -nostdlib -Wl,-soname,libmemtrace-preload.so -Wl,-z,now,-z,relro,-z,nodelete,-z,noexecstack \
	-Wl,--hash-style=both -Wl,--build-id

$(BUILD)/preload/%.o: src/preload/%.c
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -Iinclude -Isrc $(PRELOAD_CFLAGS) -c $< -o $@

$(BUILD)/libmemtrace-preload.so: $(PRELOAD_OBJ)
	$(say) LINK $@
	$(Q)$(CC) $(PRELOAD_LDFLAGS) -o $@ $^

$(BUILD)/memtrace: $(CLI_OBJ) $(BUILD)/libmemtrace.a
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/tests/unit-tests: $(UNIT_OBJ) $(filter-out %/main.o,$(CLI_OBJ)) $(PRELOAD_PURE) $(BUILD)/bench/parts.a $(BUILD)/libmemtrace.a
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcriterion $(LDLIBS)

$(BUILD)/tests/system-tests: $(SYSTEM_OBJ) $(BUILD)/tests/unit/preload_file.o
	$(say) LINK $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcriterion -ljansson -lelf -lpthread

# Programs that are traced: each source file is one program; rules.mk has what is special.
-include tests/targets/rules.mk
TARGETS := $(patsubst tests/targets/%.c,$(BUILD)/tests/targets/%,$(wildcard tests/targets/*.c)) \
	$(patsubst tests/targets/%.cc,$(BUILD)/tests/targets/%,$(wildcard tests/targets/*.cc)) $(TARGETS_EXTRA)
targets: $(TARGETS)

$(BUILD)/tests/targets/%: tests/targets/%.c $(wildcard tests/targets/*.h)
	$(say) TARGET $@
	@mkdir -p $(@D)
	$(Q)$(or $(TARGET_CC_$*),$(CC)) -O1 -g -fno-omit-frame-pointer -pthread -Iinclude $(TARGET_CFLAGS_$*) -o $@ $< $(TARGET_LDLIBS_$*)

$(BUILD)/tests/targets/%: tests/targets/%.cc $(wildcard tests/targets/*.h)
	$(say) TARGET $@
	@mkdir -p $(@D)
	$(Q)$(or $(TARGET_CXX_$*),$(CXX)) -O1 -g -fno-omit-frame-pointer -pthread -Iinclude $(TARGET_CFLAGS_$*) -o $@ $< $(TARGET_LDLIBS_$*)

# Benchmark programs: each source file is one; what they share is in parts/.
BENCH := $(patsubst bench/%.c,$(BUILD)/bench/%,$(filter-out %.bpf.c,$(wildcard bench/*.c)))
bench-programs: $(BENCH) $(BUILD)/bench/floor.bpf.o
$(BUILD)/bench/floor.bpf.o: bench/floor.bpf.c vmlinux/vmlinux.h
	$(say) BPF $@
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c $< -o $@
$(BUILD)/bench/%.o: bench/%.c | $(SKEL)
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ibench -DBENCH_DIR='"$(CURDIR)/bench"' $(CFLAGS) -c $< -o $@
$(BUILD)/bench/parts.a: $(BENCH_PARTS)
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/bench/%: bench/%.c $(BUILD)/bench/parts.a $(BUILD)/libmemtrace.a
	$(say) CC $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Ibench -std=gnu11 $(WARN) -O2 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls -pthread \
		-Wl,--as-needed -o $@ $< $(BUILD)/bench/parts.a $(BUILD)/libmemtrace.a $(LDLIBS)

# Fuzzers: damage what is read from files nobody vouches for, sanitized.
FUZZ_S ?= 60
FUZZ_SEED ?= 1
FUZZ_CFI_SRC := tests/fuzz/fuzz_cfi.c $(wildcard src/capture/cfi*.c) \
	$(addprefix src/capture/,elf_file.c code_id.c code_rows.c unwind_rows.c publisher.c segments.c)
$(BUILD)/fuzz/fuzz_cfi: $(FUZZ_CFI_SRC) $(wildcard src/capture/c*.h) include/memtrace/unwind.h
	$(say) FUZZ $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O1 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all -o $@ $(FUZZ_CFI_SRC) -ldw -lelf -lbpf
$(BUILD)/fuzz/fuzz_perf_map: tests/fuzz/fuzz_perf_map.c tests/unit/perf_map_check.h \
		src/capture/perf_map.c src/capture/perf_map.h src/capture/overlap.c src/capture/overlap.h
	$(say) FUZZ $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O1 -g -fsanitize=address,undefined \
		-fno-sanitize-recover=all -o $@ $(filter %.c,$^)
# No address sanitizer: inputs are held to a size of memory.
$(BUILD)/fuzz/fuzz_symbols: tests/fuzz/fuzz_symbols.c $(BUILD)/libmemtrace.a
	$(say) FUZZ $@
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 $(WARN) -O1 -g -o $@ $^ $(LDLIBS)
$(BUILD)/fuzz/symbols: tests/targets/deep.c tests/targets/truth.h
	@mkdir -p $@
	$(Q)$(CC) -O2 -g -o $@/inlined $<
	$(Q)$(CC) -O1 -gdwarf-4 -o $@/dwarf4 $<
	$(Q)$(CC) -O1 -g -gz -o $@/packed $<
	$(Q)$(CLANG) -O2 -g -o $@/clang $<
	@touch $@
## fuzz: damage unwind tables, lists of generated code and files with names, FUZZ_S seconds each
fuzz: $(BUILD)/fuzz/fuzz_cfi $(BUILD)/fuzz/fuzz_perf_map $(BUILD)/fuzz/fuzz_symbols $(BUILD)/fuzz/symbols
	$(Q)cd $(BUILD)/fuzz && ./fuzz_cfi $(CURDIR)/tests/fuzz/corpus/cfi $(FUZZ_SEED) $(FUZZ_S)
	$(Q)cd $(BUILD)/fuzz && ./fuzz_perf_map $(CURDIR)/tests/fuzz/corpus/perf_map $(FUZZ_SEED) $(FUZZ_S)
	$(Q)cd $(BUILD)/fuzz && ./fuzz_symbols symbols $(FUZZ_SEED) $(FUZZ_S)

## install: install into DESTDIR/PREFIX
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/memtrace $(DESTDIR)$(PREFIX)/include/memtrace \
		$(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/doc/memtrace
	install -m 755 $(BUILD)/memtrace $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libmemtrace.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libmemtrace.so $(DESTDIR)$(PREFIX)/lib/libmemtrace.so.0
	install -m 755 $(BUILD)/libmemtrace-preload.so $(DESTDIR)$(PREFIX)/lib/memtrace/
	ln -sf libmemtrace.so.0 $(DESTDIR)$(PREFIX)/lib/libmemtrace.so
	install -m 644 include/memtrace/memtrace.h $(DESTDIR)$(PREFIX)/include/memtrace/
	install -m 644 docs/memtrace.8 $(DESTDIR)$(PREFIX)/share/man/man8/
	install -m 644 README.md LICENSE docs/CHANGELOG.md $(DESTDIR)$(PREFIX)/share/doc/memtrace/

## uninstall: remove what install put there
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/memtrace $(DESTDIR)$(PREFIX)/lib/libmemtrace.* \
		$(DESTDIR)$(PREFIX)/include/memtrace/memtrace.h $(DESTDIR)$(PREFIX)/share/man/man8/memtrace.8
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/memtrace $(DESTDIR)$(PREFIX)/lib/memtrace
	rmdir $(DESTDIR)$(PREFIX)/include/memtrace 2>/dev/null || true

## format: rewrite the sources as .clang-format says
format:
	clang-format -i $(wildcard src/*/*.[ch] bpf/*.[ch] include/memtrace/*.h tests/*/*.[ch] bench/*.c bench/parts/*.[ch])

## clean: remove build/
clean:
	rm -rf $(BUILD)

## help: this list
help:
	@sed -n 's/^## //p' Makefile | awk -F': ' '{ printf "  %-14s %s\n", $$1, $$2 }'

.PHONY: all demo check test unit system bench bench-compare fuzz deps deps-test targets bench-programs install uninstall format clean help
.DELETE_ON_ERROR:
-include $(LIB_OBJ:.o=.d) $(PRELOAD_OBJ:.o=.d) $(PRELOAD_PURE:.o=.d) $(CLI_OBJ:.o=.d) $(UNIT_OBJ:.o=.d) $(SYSTEM_OBJ:.o=.d) \
	$(BENCH_PARTS:.o=.d)
