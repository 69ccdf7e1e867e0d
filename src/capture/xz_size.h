/* SPDX-License-Identifier: MIT */
/*
 * xz_size.h - how large an .xz stream becomes, without unpacking it.
 *
 * LZMA2 says before each chunk what it unpacks to, and a decoder stops there; so what is summed up
 * here is what a decoder will really make. (The index at a stream's end has the same sum, but is
 * only held against it when everything is unpacked already.)
 */
#ifndef CAPTURE_XZ_SIZE_H
#define CAPTURE_XZ_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the blocks of the first stream unpack to; UINT64_MAX when it is no stream, or broken.
 */
uint64_t xz_size(const uint8_t *data, size_t len);

#endif
