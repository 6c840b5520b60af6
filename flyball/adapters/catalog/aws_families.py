"""AWS, us-east-1, Linux, shared tenancy. Format: family_table.py.

Prices and sizes as of 2026-07-20, spot discounts and interruption bands as of 2025-07, from the price list, instance
table and Spot Advisor copy in aws/karpenter-provider-aws 1d927085 and alexei-led/spotinfo 05e93313 (both Apache-2.0);
burstable baselines and the flex families' 95 % from AWS's documentation. The discount and band of a family are the
median and mean over its types. Families without Spot Advisor data (8th generation i and a, 9th, newest GPUs) carry
flyball's own estimate of 60 % off (marked ?) and 12.5 % a month. Left out: bare metal (same price, starts in many minutes),
generations before the fifth, FPGA, inference and training chips, and machines of more than 6 TiB.
"""

from __future__ import annotations

from flyball.adapters.catalog.family_table import Cloud

AWS_US_EAST_1 = Cloud(
    name="aws",
    region="us-east-1",
    as_of="2026-07-20",
    spot_as_of="2025-07-01",
    source="built-in table",
    spot_source="built-in table, typical discount of 2025-07",
    families="""
// name  processor        GiB/vC $/h      spot band gpu:MiB            sizes
// burstable: ~ is the baseline share of a vCPU; credits are not counted
t3       cascadelake      4      0+0.0104 65   7.5  -                  nano=2@0.5~0.05 micro=2@1~0.1 small=2@2~0.2 m=2@4~0.2 l~0.3 x~0.4 2x~0.4
t3a      zen1             4      0+0.0094 67   17.5 -                  nano=2@0.5~0.05 micro=2@1~0.1 small=2@2~0.2 m=2@4~0.2 l~0.3 x~0.4 2x~0.4
t4g      graviton2        4      0+0.0084 63   17.5 -                  nano=2@0.5~0.05 micro=2@1~0.1 small=2@2~0.2 m=2@4~0.2 l~0.3 x~0.4 2x~0.4
// general purpose
m5       cascadelake      4      0.048    68   25   -                  l..24x
m5a      zen1             4      0.043    60   25   -                  l..24x
m5d      cascadelake      4      0.0565   55   12.5 -                  l..24x
m5ad     zen1             4      0.0515   48   17.5 -                  l..24x
m5n      cascadelake      4      0.0595   55   17.5 -                  l..24x
m5dn     cascadelake      4      0.068    60   17.5 -                  l..24x
m5zn     cascadelake-fast 4      0.082584 52   7.5  -                  l..2x 3x 6x 12x
m6i      icelake          4      0.048    63   17.5 -                  l..32x
m6id     icelake          4      0.059325 67   25   -                  l..32x
m6in     icelake          4      0.069615 58   17.5 -                  l..32x
m6idn    icelake          4      0.07956  65   17.5 -                  l..32x
m6a      zen3             4      0.0432   64   25   -                  l..48x
m6g      graviton2        4      0.0385   67   12.5 -                  m..16x
m6gd     graviton2        4      0.0452   64   17.5 -                  m..16x
m7i      sapphirerapids   4      0.0504   62   12.5 -                  l..24x 48x
m7i-flex sapphirerapids   4      0.04788  62   17.5 -                  l~0.97 x~0.97 2x~0.97 4x~0.97 8x~0.97 12x~0.97 16x~0.97
m7a      zen4             4      0.05796  70   25   -                  m..48x
m7g      graviton3        4      0.0408   64   7.5  -                  m..16x
m7gd     graviton3        4      0.053394 60   17.5 -                  m..16x
m8i      graniterapids    4      0.05292  60?  12.5 -                  l..96x
m8i-flex graniterapids    4      0.050275 60?  12.5 -                  l~0.97 x~0.97 2x~0.97 4x~0.97 8x~0.97 12x~0.97 16x~0.97
m8id     graniterapids    4      0.06526  60?  12.5 -                  l..96x
m8a      zen5             4      0.06086  60?  12.5 -                  m..24x 48x
m8azn    zen5-fast        4      0.10323  60?  12.5 -                  m..x 3x 6x 12x 24x
m8g      graviton4        4      0.04488  66   12.5 -                  m..24x 48x
m8gd     graviton4        4      0.05766  68   12.5 -                  m..24x 48x
m8gn     graviton4        4      0.07275  60?  12.5 -                  m..24x 48x
m9g      graviton5        4      0.04892  60?  12.5 -                  m..24x 48x
m9gd     graviton5        4      0.06285  60?  12.5 -                  m..24x 48x
// compute optimised
c5       cascadelake-fast 2      0.0425   62   7.5  -                  l..4x 9x 12x 18x 24x
c5a      zen2             2      0.0385   56   7.5  -                  l..24x
c5d      cascadelake-fast 2      0.048    58   12.5 -                  l..4x 9x 12x 18x 24x
c5ad     zen2             2      0.043    54   7.5  -                  l..24x
c5n      cascadelake-fast 2.625  0.054    56   7.5  -                  l..4x 9x@96 18x@192
c6i      icelake          2      0.0425   63   12.5 -                  l..32x
c6id     icelake          2      0.0504   59   25   -                  l..32x
c6in     icelake          2      0.0567   60   12.5 -                  l..32x
c6a      zen3             2      0.03825  62   17.5 -                  l..48x
c6g      graviton2        2      0.034    69   2.5  -                  m..16x
c6gd     graviton2        2      0.0384   74   17.5 -                  m..16x
c6gn     graviton2        2      0.0432   70   7.5  -                  m..16x
c7i      sapphirerapids   2      0.044625 61   17.5 -                  l..24x 48x
c7i-flex sapphirerapids   2      0.042394 61   17.5 -                  l~0.97 x~0.97 2x~0.97 4x~0.97 8x~0.97 12x~0.97 16x~0.97
c7a      zen4             2      0.05132  64   25   -                  m..48x
c7g      graviton3        2      0.03625  70   2.5  -                  m..16x
c7gd     graviton3        2      0.04536  64   17.5 -                  m..16x
c7gn     graviton3        2      0.0624   72   17.5 -                  m..16x
c8i      graniterapids    2      0.046855 60?  12.5 -                  l..96x
c8i-flex graniterapids    2      0.04451  60?  12.5 -                  l~0.97 x~0.97 2x~0.97 4x~0.97 8x~0.97 12x~0.97 16x~0.97
c8id     graniterapids    2      0.05544  60?  12.5 -                  l..96x
c8a      zen5             2      0.053885 60?  12.5 -                  m..24x 48x
c8g      graviton4        2      0.03988  70   12.5 -                  m..24x 48x
c8gd     graviton4        2      0.04899  66   7.5  -                  m..24x 48x
c8gn     graviton4        2      0.05925  60?  12.5 -                  m..24x 48x
c9g      graviton5        2      0.04347  60?  12.5 -                  m..24x 48x
c9gd     graviton5        2      0.0534   60?  12.5 -                  m..24x 48x
// memory optimised
r5       cascadelake      8      0.063    67   17.5 -                  l..24x
r5a      zen1             8      0.0565   64   25   -                  l..24x
r5d      cascadelake      8      0.072    61   25   -                  l..24x
r5ad     zen1             8      0.0655   61   25   -                  l..24x
r5b      cascadelake      8      0.0745   46   12.5 -                  l..24x
r5n      cascadelake      8      0.0745   64   17.5 -                  l..24x
r5dn     cascadelake      8      0.0835   58   17.5 -                  l..24x
r6i      icelake          8      0.063    69   25   -                  l..32x
r6id     icelake          8      0.0756   61   25   -                  l..32x
r6in     icelake          8      0.087165 73   25   -                  l..32x
r6idn    icelake          8      0.097695 64   25   -                  l..32x
r6a      zen3             8      0.0567   71   25   -                  l..48x
r6g      graviton2        8      0.0504   68   17.5 -                  m..16x
r6gd     graviton2        8      0.0576   64   25   -                  m..16x
r7i      sapphirerapids   8      0.06615  66   17.5 -                  l..24x 48x
r7iz     sapphirerapids   8      0.093    68   25   -                  l..16x 32x
r7a      zen4             8      0.076075 68   17.5 -                  m..48x
r7g      graviton3        8      0.05355  68   17.5 -                  m..16x
r7gd     graviton3        8      0.06804  64   25   -                  m..16x
r8i      graniterapids    8      0.06946  60?  12.5 -                  l..96x
r8i-flex graniterapids    8      0.065985 60?  12.5 -                  l~0.97 x~0.97 2x~0.97 4x~0.97 8x~0.97 12x~0.97 16x~0.97
r8id     graniterapids    8      0.08316  60?  12.5 -                  l..96x
r8a      zen5             8      0.07988  60?  12.5 -                  m..24x 48x
r8g      graviton4        8      0.05891  72   17.5 -                  m..24x 48x
r8gd     graviton4        8      0.07348  66   17.5 -                  m..24x 48x
r8gn     graviton4        8      0.09109  60?  12.5 -                  m..24x 48x
x2gd     graviton2        16     0.0835   70   2.5  -                  m..16x
x2idn    icelake          16     0.104203 67   2.5  -                  16x..32x
x2iedn   icelake          32     0.208406 71   7.5  -                  x..8x 16x..32x
x2iezn   cascadelake-fast 32     0.2085   67   2.5  -                  2x 4x 6x 8x 12x
x8g      graviton4        16     0.0977   75   2.5  -                  m..24x 48x
x8i      graniterapids    16     0.109415 60?  12.5 -                  l..48x 64x 96x$48.7444
z1d      skylake-fast     8      0.093    68   25   -                  l..2x 3x 6x 12x
// large local disks
i3       broadwell        7.625  0.078    56   25   -                  l..8x 16x
i3en     cascadelake      8      0.113    68   7.5  -                  l..2x 3x 6x 12x 24x
i4i      icelake          8      0.0858   57   17.5 -                  l$0.172 x..32x
i4g      graviton2        8      0.07722  62   12.5 -                  l..8x 16x
i7i      emeraldrapids    8      0.09438  66   2.5  -                  l..24x 48x
i7ie     emeraldrapids    8      0.12995  67   2.5  -                  l..2x 3x 6x 12x 18x 24x 48x
i8g      graviton4        8      0.0858   72   12.5 -                  l..24x 48x
i8ge     graviton4        8      0.11865  60?  12.5 -                  l..2x 3x 6x 12x 18x 24x 48x
// GPUs
g4ad     zen2             4      0.054187 57   2.5  V520:8192          x$0.37853/1 2x$0.54117/1 4x$0.867/1 8x$1.734/2 16x$3.468/4
g4dn     cascadelake      4      0.078375 64   25   T4:16384           x$0.526/1 2x$0.752/1 4x$1.204/1 8x$2.176/1 12x$3.912/4 16x$4.352/1
g5       zen2             4      0.093167 59   25   A10G:22888         x$1.006/1 2x$1.212/1 4x$1.624/1 8x$2.448/1 12x$5.672/4 16x$4.096/1 24x$8.144/4 48x$16.288/8
g5g      graviton2        2      0.05175  63   7.5  T4G:16384          x$0.42/1 2x$0.556/1 4x$0.828/1 8x$1.372/1 16x$2.744/2
g6       zen3             4      0.076117 58   25   L4:22888           x$0.8048/1 2x$0.9776/1 4x$1.3232/1 8x$2.0144/1 12x$4.6016/4 16x$3.3968/1 24x$6.6752/4 48x$13.3504/8
g6e      zen3             8      0.172349 64   17.5 L40S:45776         x$1.861/1 2x$2.24208/1 4x$3.00424/1 8x$4.52856/1 12x$10.4926/4 16x$7.57719/1 24x$15.0656/4 48x$30.1312/8
gr6      zen3             8      0.086325 58   17.5 L4:22888           4x$1.5392/1 8x$2.4464/1
g7e      emeraldrapids    8      0.172627 60?  12.5 RTX-PRO-6000:98304 2x$3.36312/1 4x$3.99816/1 8x$5.26824/1 12x@512$8.28608/2 24x@1024$16.5722/4 48x@2048$33.1443/8
p3dn     cascadelake      8      0.325125 87   25   V100:32768         24x$31.212/8
p4d      cascadelake-fast 12     0.228725 67   12.5 A100:40960         24x$21.9576/8
p4de     cascadelake-fast 12     0.285907 65   2.5  A100:81920         24x$27.4471/8
p5       zen3             16     0.358333 52   25   H100:81920         4x$6.88/1 48x@2048$55.04/8
p5en     sapphirerapids   10.667 0.329667 64   2.5  H200:144384        48x@2048$63.296/8
p6-b200  emeraldrapids    10.667 0.5934   60?  12.5 B200:183359        48x@2048$113.933/8
p6-b300  emeraldrapids    21.333 0.74175  60?  12.5 B300:275040        48x@4096$142.416/8
""",
)
