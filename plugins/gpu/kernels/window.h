/* SPDX-License-Identifier: Apache-2.0 */
/* Images [N, C, H, W] and what slides over them: the words that op_image.c writes in this order.
 * Height comes before width; numbers in front of x where an element of the window may lie wrap
 * around, so that they are no index. */
#define N_ITEMS P(0)
#define M_PER_GROUP P(1) /* channels of y, of x in a group */
#define C_PER_GROUP P(2)
#define N_GROUPS P(3)
#define KERNEL_H P(4)
#define KERNEL_W P(5)
#define IN_H P(6)
#define IN_W P(7)
#define OUT_H P(8)
#define OUT_W P(9)
#define STRIDE_H P(10)
#define STRIDE_W P(11)
#define DILATION_H P(12)
#define DILATION_W P(13)
#define BEFORE_H P(14)
#define BEFORE_W P(15)
