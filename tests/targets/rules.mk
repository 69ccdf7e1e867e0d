# SPDX-License-Identifier: MIT
# What is special about building the targets. Everything else: one source file, one program.

TARGET_CFLAGS_cxx_new := -std=c++17 -fno-builtin
TARGET_CFLAGS_cxx_throw := -std=c++17
TARGET_CFLAGS_cxx_bad_alloc := -std=c++17
TARGET_CFLAGS_cxx_containers := -std=c++17
TARGET_CFLAGS_omit_fp := -std=c++17 -O3 -fomit-frame-pointer
TARGET_CFLAGS_nest_own := -fno-builtin
TARGET_CFLAGS_jump_own := -fno-builtin
TARGET_CFLAGS_mid_realloc := -fno-builtin
TARGET_CFLAGS_static_glibc := -static -DT_STATIC_GLIBC
TARGET_CFLAGS_static_base := -static -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
TARGET_CFLAGS_stripped := -static -s
TARGET_CFLAGS_own_heap := -shared -fPIC -fno-builtin
TARGET_CFLAGS_counting := -shared -fPIC -fno-builtin
TARGET_CFLAGS_remap_first := -shared -fPIC -O2 -fomit-frame-pointer -fno-builtin
TARGET_CFLAGS_remap_other := -shared -fPIC -O2 -fomit-frame-pointer -fno-builtin
TARGET_CFLAGS_stack_witness := -shared -fPIC -fno-builtin -fvisibility=hidden -Wl,-z,now
TARGET_CFLAGS_stack_shapes := -O2 -fomit-frame-pointer -Wl,-z,lazy

# The same sources with musl, where it is installed; tests that want them say SKIP otherwise.
ifneq ($(shell command -v musl-gcc 2>/dev/null),)
TARGETS_EXTRA += $(BUILD)/tests/targets/static_musl $(BUILD)/tests/targets/static_musl_mix \
	$(BUILD)/tests/targets/static_musl_spawn

$(BUILD)/tests/targets/static_musl: tests/targets/family.c
$(BUILD)/tests/targets/static_musl_mix: tests/targets/mix.c
$(BUILD)/tests/targets/static_musl_spawn: tests/targets/spawn.c
$(BUILD)/tests/targets/static_musl $(BUILD)/tests/targets/static_musl_mix \
$(BUILD)/tests/targets/static_musl_spawn: $(wildcard tests/targets/*.h)
	$(say) TARGET $@
	@mkdir -p $(@D)
	$(Q)musl-gcc -static -O1 -g -fno-omit-frame-pointer -o $@ $(filter %.c,$^)
endif

TARGET_CFLAGS_answers := -fno-builtin
TARGET_CFLAGS_survive := -fno-builtin
TARGET_CFLAGS_jump_heap := -shared -fPIC -fno-builtin
TARGET_CFLAGS_jump_over := -fno-builtin
TARGET_CFLAGS_late_plugin := -shared -fPIC -std=c++17
TARGET_CFLAGS_fork_alike := -fno-builtin
TARGET_CFLAGS_own_part := -fno-builtin
TARGET_CFLAGS_apart_library := -shared -fPIC
