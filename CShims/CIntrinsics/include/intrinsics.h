// Machine instructions that Swift has no spelling for: prefetch, and a compare of a whole cache line of tags.
//
// Invariant: no library, no state, no DPDK; every function compiles to a few instructions in its caller.
#ifndef NEEDLETAIL_INTRINSICS_H
#define NEEDLETAIL_INTRINSICS_H
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/// Asks for the line of `address` in all cache levels, to be read.
static inline void ntl_prefetch_read(const void *address) { __builtin_prefetch(address, 0, 3); }

/// Asks for the line of `address`, to be written.
static inline void ntl_prefetch_write(const void *address) { __builtin_prefetch(address, 1, 3); }

/// Bit i is set if the i-th of the 32 16-bit words at `line` (64-byte aligned) equals `tag`.
///
/// The line may be written meanwhile by one writer with 16-bit atomic stores: each word is loaded whole (an aligned
/// 16-byte load never splits an aligned 16-bit word on x86 or arm), the words are not a snapshot of one moment, and no order
/// is implied: the caller fences before it reads what a tag stands for.
static inline uint32_t ntl_match_tags(const void *line, uint16_t tag)
{
#if defined(__AVX2__)
	__m256i wanted = _mm256_set1_epi16((short)tag);
	__m256i low = _mm256_cmpeq_epi16(_mm256_load_si256((const __m256i *)line), wanted);
	__m256i high = _mm256_cmpeq_epi16(_mm256_load_si256((const __m256i *)line + 1), wanted);
	__m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
	return (uint32_t)_mm256_movemask_epi8(bytes);
#elif defined(__SSE2__)
	const __m128i *words = (const __m128i *)line;
	__m128i wanted = _mm_set1_epi16((short)tag);
	__m128i a = _mm_cmpeq_epi16(_mm_load_si128(words), wanted);
	__m128i b = _mm_cmpeq_epi16(_mm_load_si128(words + 1), wanted);
	__m128i c = _mm_cmpeq_epi16(_mm_load_si128(words + 2), wanted);
	__m128i d = _mm_cmpeq_epi16(_mm_load_si128(words + 3), wanted);
	uint32_t low = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b));
	uint32_t high = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(c, d));
	return low | high << 16;
#else
	const volatile uint16_t *words = (const volatile uint16_t *)line;
	uint32_t mask = 0;
	for (int i = 0; i < 32; i++)
		mask |= (uint32_t)(words[i] == tag) << i;
	return mask;
#endif
}
#endif
