# Draws what examples/digits.cpp wrote:  gnuplot -e "folder='build/digits'" examples/digits.gnuplot
set terminal pngcairo size 1500,620 font "Sans,13" background "#ffffff"
set output folder."/digits.png"
set multiplot
set palette gray negative
set cbrange [0:16]
unset colorbox
unset key
unset tics
set border 0
set size ratio -1
set yrange [] reverse
set lmargin 1; set rmargin 1; set tmargin 2.5; set bmargin 0.5

set origin 0.0,0.0; set size 0.36,1
set title "held-out digits, written by people"
plot folder."/real.txt" matrix with image pixels
set origin 0.36,0.0; set size 0.36,1
set title "drawn, class by class"
plot folder."/drawn.txt" matrix with image pixels
set origin 0.72,0.0; set size 0.28,1
set title "drawn, and the training digit nearest to each"
plot folder."/nearest.txt" matrix with image pixels
unset multiplot
