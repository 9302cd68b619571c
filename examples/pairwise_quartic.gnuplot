# Draws what examples/pairwise_quartic.cpp wrote:
#   gnuplot -e "folder='build/pairwise'; first='OD280/315'; second='proline'" examples/pairwise_quartic.gnuplot
densities = folder."/densities.dat"
stats densities using 1:2 nooutput
low_x = STATS_min_x; high_x = STATS_max_x; low_y = STATS_min_y; high_y = STATS_max_y
set contour base
unset surface
set cntrparam levels discrete 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3
set table folder."/contours1.dat"
splot densities using 1:2:3
set table folder."/contours2.dat"
splot densities using 1:2:4
set table folder."/contours3.dat"
splot densities using 1:2:5
unset table
unset contour

set terminal pngcairo size 1500,560 font "Sans,13" background "#ffffff"
set output folder."/pairwise_quartic.png"
set multiplot layout 1,3 margins 0.065,0.99,0.12,0.91 spacing 0.045,0
set logscale xy
set xrange [low_x:high_x]
set yrange [low_y:high_y]
set xtics (1, 1.5, 2, 3, 4, 6)
set ytics (200, 300, 500, 750, 1000, 1500, 2500)
set tics out nomirror
set xlabel first
set key top left reverse Left samplen 1
array titles[3] = ["Gaussian", "quartic energy by implicit score matching, closed form", "quartic energy by maximum likelihood"]
wines = folder."/wines.dat"
do for [k = 1:3] {
  set title titles[k]
  set ylabel k == 1 ? second : "" offset 1,0
  plot for [c = 0:2] wines using 1:($3 == c ? $2 : 1/0) with points pointtype 7 pointsize 0.8 \
         linecolor rgb word("#3caea3 #ed553b #f6b53c", c + 1) title (k == 1 ? sprintf("cultivar %d", c + 1) : ""), \
       sprintf("%s/contours%d.dat", folder, k) using 1:2 with lines linewidth 1.6 linecolor rgb "#173f5f" notitle
}
unset multiplot
