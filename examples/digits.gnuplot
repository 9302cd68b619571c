# Draws what examples/digits.cpp wrote:  gnuplot -e "folder='build/digits'" examples/digits.gnuplot
set terminal pngcairo size 1500,560 font "Sans,13" background "#ffffff"
set output folder."/digits.png"
set multiplot
set palette gray negative
set cbrange [0:16]
unset colorbox
unset key
unset tics
set border 0
set yrange [88.5:-0.5]

# All panels in one scale. A sheet has 89 rows and columns of pixels; the pairs, 18 columns each, are moved apart.
pixel = 5.36
per_column = pixel/1500
pairs = 4
gap = 5
left = 0.01
set tmargin at screen 0.9; set bmargin at screen 0.9 - 89*pixel/560

set title "held-out digits, written by people"
set xrange [-0.5:88.5]
set lmargin at screen left; set rmargin at screen left + 89*per_column
plot folder."/real.txt" matrix with image pixels

left = left + 89*per_column + 0.023
set title "drawn, class by class"
set lmargin at screen left; set rmargin at screen left + 89*per_column
plot folder."/drawn.txt" matrix with image pixels

left = left + 89*per_column + 0.023
width = 18*pairs - 1 + gap*(pairs - 1)
set title "pairs: drawn, and the nearest training digit"
set xrange [-0.5:width - 0.5]
set lmargin at screen left; set rmargin at screen left + width*per_column
do for [p=1:pairs - 1] {
  middle = p*(18 + gap) - 0.5*(gap + 1) - 0.5
  set arrow p from middle,-0.5 to middle,88.5 nohead linecolor rgb "#c0c0c0"
}
moved(x) = x + gap*floor(x/18.0)
plot folder."/nearest.txt" matrix using (moved($1)):2:(moved($1) - 0.5):(moved($1) + 0.5):($2 - 0.5):($2 + 0.5):3 \
       with boxxyerror fillstyle solid 1 noborder linecolor palette
unset multiplot
